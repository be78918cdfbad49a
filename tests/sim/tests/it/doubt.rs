//! The simulator against a model of it, with the same random steps.

use std::time::Duration;

use bitrix24_sim::Limits;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::model::{Log, Page, Rate, Window};
use crate::world::{Line, TOKEN, World};

const THRESHOLD: u32 = 6;
const DRAIN: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
    Wait {
        millis: u64,
    },
    /// Requests that only count.
    Ask {
        times: usize,
    },
    /// Anna writes to the bot.
    Write,
    /// Anna calls a command.
    Command {
        private: bool,
    },
    /// Anna presses the button of a command in the private dialog.
    Press,
    /// A client reads the log.
    Fetch {
        offset: Offset,
        limit: usize,
    },
    /// A client answers to one of the messages so far.
    Answer {
        to: Index,
    },
}

#[derive(Clone, Copy, Debug)]
enum Offset {
    None,
    /// Acknowledges all that was shown.
    Next,
    /// Does not acknowledge the last ones.
    Behind(u64),
    /// Nobody should send this.
    Beyond,
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![
        2 => Just(Offset::None),
        4 => Just(Offset::Next),
        2 => (0..8_u64).prop_map(Offset::Behind),
        1 => Just(Offset::Beyond),
    ];
    prop_oneof![
        6 => (0..2_500_u64).prop_map(|millis| Step::Wait { millis }),
        2 => prop_oneof![100_000..700_000_u64, 599_500..600_500_u64]
            .prop_map(|millis| Step::Wait { millis }),
        1 => (10..26_u64, 0..1_000_u64).prop_map(|(hours, millis)| Step::Wait {
            millis: hours * 3_600_000 + millis,
        }),
        2 => (1..9_usize).prop_map(|times| Step::Ask { times }),
        4 => Just(Step::Write),
        3 => any::<bool>().prop_map(|private| Step::Command { private }),
        1 => Just(Step::Press),
        6 => (offset, 0..4_usize).prop_map(|(offset, limit)| Step::Fetch { offset, limit }),
        4 => any::<Index>().prop_map(|to| Step::Answer { to }),
    ]
}

/// A message of one of the two dialogs.
#[derive(Clone, Copy)]
struct Said {
    id: i64,
    private: bool,
    typed_command: bool,
}

/// Both portals, the real one and the model, side by side.
struct Both {
    world: World,
    line: Line,
    bot: i64,
    command: i64,
    now: u64,
    rate: Rate,
    log: Log,
    private: Window,
    group: Window,
    said: Vec<Said>,
    written: usize,
}

impl Both {
    async fn new() -> Self {
        let world = World::new().await;
        let bot = world.bot("a").await;
        let command = world.command(bot, "help", json!({})).await;
        world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
        let keyboard = json!([{"TEXT": "go", "COMMAND": "help"}]);
        let params = json!({"dialogId": world.anna.to_string(),
            "fields": {"message": "press", "keyboard": keyboard}});
        let sent = world
            .of_bot("imbot.v2.Chat.Message.send", bot, params)
            .await;
        let button = Said {
            id: sent.result()["id"].as_i64().unwrap(),
            private: true,
            typed_command: false,
        };
        world.skip_events(bot).await;
        world.portal.set_limits(Limits {
            threshold: Some(THRESHOLD),
            drain_per_second: DRAIN,
            ..Limits::default()
        });
        Self {
            line: world.client.line().await,
            world,
            bot,
            command,
            now: 0,
            rate: Rate::new(THRESHOLD.into(), DRAIN.into()),
            log: Log::default(),
            private: Window::default(),
            group: Window::default(),
            said: vec![button],
            written: 0,
        }
    }

    /// A call, unless it is refused for the rate; either has to suit the model.
    async fn call(&mut self, method: &str, more: Value) -> Result<Option<Value>, String> {
        let mut params = json!({"botId": self.bot, "botToken": TOKEN});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        let path = format!("{}{method}", self.world.base);
        let answer = self.line.call(&path, &params).await;
        let refused = answer.body["error"] == "QUERY_LIMIT_EXCEEDED";
        self.rate.saw(self.now, !refused)?;
        match answer.body.get("result") {
            Some(result) => Ok(Some(result.clone())),
            None if refused => Ok(None),
            None => Err(answer.raw),
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let anna = self.world.portal.user(self.world.anna);
        match step {
            Step::Wait { millis } => {
                self.world
                    .sim
                    .clock()
                    .advance(Duration::from_millis(*millis));
                self.now += millis;
            }
            Step::Ask { times } => {
                for _ in 0..*times {
                    self.call("profile", json!({})).await?;
                }
            }
            Step::Write => {
                self.written += 1;
                let text = format!("text {}", self.written);
                let id = anna.types_to_bot(self.bot, &text).unwrap();
                self.log.add(self.now, &text);
                self.said.push(Said {
                    id,
                    private: true,
                    typed_command: false,
                });
            }
            Step::Command { private } => {
                self.written += 1;
                let text = format!("/help {}", self.written);
                let (id, window) = if *private {
                    let id = anna.types_to_bot(self.bot, &text).unwrap();
                    (id, &mut self.private)
                } else {
                    let id = anna.types(&self.world.chat.dialog_id(), &text).unwrap();
                    (id, &mut self.group)
                };
                window.command(self.now);
                self.log.add(self.now, &text);
                self.said.push(Said {
                    id,
                    private: *private,
                    typed_command: true,
                });
            }
            Step::Press => {
                anna.presses(self.said[0].id, "go").unwrap();
                self.private.command(self.now);
                self.log.add(self.now, "press");
            }
            Step::Fetch { offset, limit } => self.fetch(*offset, *limit).await?,
            Step::Answer { to } => self.answer(*to.get(&self.said)).await?,
        }
        Ok(())
    }

    async fn fetch(&mut self, offset: Offset, limit: usize) -> Result<(), String> {
        let shown = self.log.highest_shown();
        let offset = match offset {
            Offset::None => 0,
            Offset::Next if shown == 0 => 0,
            Offset::Next => shown + 1,
            Offset::Behind(count) => shown.saturating_sub(count),
            Offset::Beyond => 1_000_000_000_000,
        };
        let params = json!({"offset": offset, "limit": limit});
        let Some(result) = self.call("imbot.v2.Event.get", params).await? else {
            return Ok(());
        };
        let events = result["events"].as_array().unwrap().iter();
        let page = Page {
            events: events.map(seen).collect(),
            next_offset: result["nextOffset"].as_u64().unwrap(),
            has_more: result["hasMore"].as_bool().unwrap(),
        };
        self.log.fetched(self.now, offset, limit, &page)
    }

    async fn answer(&mut self, said: Said) -> Result<(), String> {
        let dialog = if said.private {
            format!("{}:{}", self.world.anna, self.bot)
        } else {
            self.world.chat.dialog_id()
        };
        let before = self.world.portal.messages(&dialog).len();
        let params = json!({"commandId": self.command, "messageId": said.id,
            "dialogId": "does not matter", "fields": {"message": "answer"}});
        let Some(result) = self.call("imbot.v2.Command.answer", params).await? else {
            return Ok(());
        };
        if result != json!({"result": true}) {
            return Err(result.to_string());
        }
        let posted = self.world.portal.messages(&dialog).len() > before;
        let window = if said.private {
            &self.private
        } else {
            &self.group
        };
        match window.posts(self.now, said.private && said.typed_command) {
            Some(expected) if expected != posted => Err(format!("posted: {posted}")),
            _ => Ok(()),
        }
    }
}

/// Id and text of an event.
fn seen(event: &Value) -> (u64, String) {
    let data = &event["data"];
    let text = match data["command"]["context"].as_str() {
        Some("keyboard") => "press",
        _ => data["message"]["text"].as_str().unwrap(),
    };
    (event["eventId"].as_u64().unwrap(), text.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_portal_agrees_with_a_model_written_apart(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let compared: Result<(), String> = runtime.block_on(async {
            let mut both = Both::new().await;
            for step in &steps {
                both.take(step).await.map_err(|why| format!("{step:?} at {}: {why}", both.now))?;
            }
            Ok(())
        });
        prop_assert_eq!(compared, Ok(()));
    }
}
