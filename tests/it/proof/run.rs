//! Several callers at work, while things go wrong.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, message_service_client::MessageServiceClient,
};
use bitrix24_sim::{Clock, Portal, UnixTime};
use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::transport::Channel;

use super::{
    calls::{Act, Line, Outcome},
    dice::Dice,
    mishaps,
};
use crate::scene::{Scene, content, raw_answer};

/// Connections.
const CALLERS: u64 = 8;

/// Something that somebody wants done once.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) act: Act,
    /// What stands in the portal when it was done; holds the wish's mark.
    pub(super) text: String,
    pub(super) key: Option<String>,
}

/// One call.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) wish: usize,
    pub(super) caller: u64,
    pub(super) began: UnixTime,
    pub(super) ended: UnixTime,
    pub(super) patience: Duration,
    pub(super) outcome: Outcome,
}

/// What was wished and told so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) wishes: Vec<Wish>,
    pub(super) attempts: Vec<Attempt>,
    /// Messages that nobody deleted yet.
    sent: Vec<i64>,
    /// Commands made during the run that nobody removed yet.
    commands: Vec<String>,
    left: usize,
}

/// Where it takes place.
pub(super) struct World {
    pub(super) portal: Portal,
    pub(super) clock: Clock,
    pub(super) bot_id: i64,
    help: i64,
    anna: i64,
    /// Dialogs with the message that called the bot there.
    pub(super) dialogs: Vec<(String, i64)>,
    /// Messages that are changed again and again.
    boards: Vec<i64>,
    notes: Mutex<Notes>,
}

/// Finds the mark of a wish in a text.
pub(super) fn mark_in(text: &str) -> Option<usize> {
    let (_, after) = text.split_once("<<")?;
    after.split_once(">>")?.0.parse().ok()
}

impl World {
    /// A portal with a bot in four chats, with four commands and three messages.
    pub(super) async fn prepare(scene: &mut Scene, calls: usize) -> Arc<Self> {
        let bot_id = scene.helper().await;
        for index in 0..4 {
            let request = pb::RegisterCommandRequest {
                command: format!("pool{index}"),
                ..crate::scene::help()
            };
            scene.bots.register_command(request).await.unwrap();
        }
        let mut dialogs = Vec::new();
        for index in 0..4 {
            let members = [1, scene.anna, bot_id];
            let chat = scene
                .portal
                .add_group_chat(&format!("Room {index}"), &members);
            let dialog = chat.dialog_id();
            let called = scene.portal.user(scene.anna).types(&dialog, "/help");
            dialogs.push((dialog, called.unwrap()));
        }
        let mut boards = Vec::new();
        for _ in 0..3 {
            let request = pb::SendMessageRequest {
                bot_code: "helper".to_owned(),
                dialog_id: dialogs[0].0.clone(),
                content: Some(content("a board")),
                ..pb::SendMessageRequest::default()
            };
            let sent = scene.messages().send_message(request).await.unwrap();
            boards.push(sent.into_inner().message_id.unwrap());
        }
        let help = scene.portal.commands(bot_id)[0].id;
        Arc::new(Self {
            portal: scene.portal.clone(),
            clock: scene.sim.clock().clone(),
            bot_id,
            help,
            anna: scene.anna,
            dialogs,
            boards,
            notes: Mutex::new(Notes {
                left: calls,
                ..Notes::default()
            }),
        })
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Lets callers work until the calls are used up.
    pub(super) async fn run(self: &Arc<Self>, lines: Vec<Line>, seed: u64) {
        let trouble = tokio::spawn({
            let (world, mut dice) = (Arc::clone(self), Dice::of(seed, 0));
            async move {
                loop {
                    mishaps::happen(&world.portal.faults(), &mut dice);
                    sleep(mishaps::pause(&mut dice)).await;
                }
            }
        });
        let callers = lines.into_iter().zip(1..).map(|(line, caller)| {
            let world = Arc::clone(self);
            tokio::spawn(async move { world.work(line, caller, Dice::of(seed, caller)).await })
        });
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        trouble.abort();
    }

    async fn work(self: Arc<Self>, line: Line, caller: u64, mut dice: Dice) {
        let started = self.clock.now();
        loop {
            // Minutes of rush, when calls must travel together, and of calm.
            let minute = (self.clock.now() - started).as_secs() / 60;
            let (most, pause) = match minute % 3 {
                0 => (3, dice.millis(200, 8_000)),
                1 => (25, dice.millis(10, 1_500)),
                _ => (8, dice.millis(50, 20_000)),
            };
            let count = {
                let mut notes = self.notes();
                let count = (1 + dice.below(most)).min(notes.left);
                notes.left -= count;
                count
            };
            if count == 0 {
                return;
            }
            let calls = (0..count).map(|_| {
                let wish = self.wish(&mut dice);
                let least = *dice.pick(&[50, 2_000]);
                let patience = dice.millis(least, 60_000);
                self.call(&line, caller, wish, patience)
            });
            join_all(calls.collect::<Vec<_>>()).await;
            if dice.chance(20) {
                let (dialog, _) = &self.dialogs[1 + dice.below(self.dialogs.len() - 1)];
                self.portal.user(self.anna).types(dialog, "/help").unwrap();
            }
            sleep(pause).await;
        }
    }

    pub(super) async fn call(&self, line: &Line, caller: u64, wish: usize, patience: Duration) {
        let act = self.notes().wishes[wish].act.clone();
        let began = self.clock.now();
        let outcome = act.perform(line, patience).await;
        let ended = self.clock.now();
        let mut notes = self.notes();
        match (&act, &outcome) {
            // A repeat is told of the same message, which somebody may delete already.
            (Act::Send(_), Outcome::Sent(id))
                if !notes.attempts.iter().any(|it| it.outcome == outcome) =>
            {
                notes.sent.push(*id);
            }
            (Act::RegisterCommand(request), Outcome::Done)
                if request.command.starts_with("once") =>
            {
                notes.commands.push(request.command.clone());
            }
            _ => {}
        }
        notes.attempts.push(Attempt {
            wish,
            caller,
            began,
            ended,
            patience,
            outcome,
        });
    }

    /// A new wish, or one that somebody had before under a key.
    fn wish(&self, dice: &mut Dice) -> usize {
        let mut notes = self.notes();
        let number = notes.wishes.len();
        let recent = number.saturating_sub(60)..number;
        let keyed: Vec<_> = recent
            .filter(|wish| notes.wishes[*wish].key.is_some())
            .collect();
        if !keyed.is_empty() && dice.chance(20) {
            return *dice.pick(&keyed);
        }
        let text = text(number, dice);
        let act = self.act(number, &text, &mut notes, dice);
        let key = match keyed.first() {
            // A mistake: the key of something else.
            Some(other) if dice.chance(2) => notes.wishes[*other].key.clone(),
            _ => dice.chance(40).then(|| format!("key {number}")),
        };
        let under_key = key.as_ref().and_then(|key| act.clone().with_key(key));
        notes.wishes.push(Wish {
            text,
            key: key.filter(|_| under_key.is_some()),
            act: under_key.unwrap_or(act),
        });
        number
    }

    fn act(&self, number: usize, text: &str, notes: &mut Notes, dice: &mut Dice) -> Act {
        let bot_code = || "helper".to_owned();
        let (dialog, message_id) = dice.pick(&self.dialogs).clone();
        let title = || [("en".to_owned(), text.to_owned())].into();
        let pool = format!("pool{}", dice.below(4));
        match dice.below(100) {
            0..28 => {
                let late = if dice.chance(30) {
                    pb::IfWindowClosed::SendMessage
                } else {
                    pb::IfWindowClosed::Refuse
                };
                Act::Answer(pb::AnswerCommandRequest {
                    if_window_closed: late.into(),
                    ..raw_answer(self.help, message_id, &dialog, text)
                })
            }
            28..46 => Act::Send(pb::SendMessageRequest {
                bot_code: bot_code(),
                dialog_id: dialog,
                content: Some(content(text)),
                ..pb::SendMessageRequest::default()
            }),
            46..62 => Act::Change(pb::UpdateMessageRequest {
                bot_code: bot_code(),
                message_id: *dice.pick(&self.boards),
                text: Some(text.to_owned()),
                ..pb::UpdateMessageRequest::default()
            }),
            62..67 if !notes.sent.is_empty() => {
                let at = dice.below(notes.sent.len());
                Act::Delete(pb::DeleteMessageRequest {
                    bot_code: bot_code(),
                    message_id: notes.sent.swap_remove(at),
                    complete: dice.chance(50),
                    ..pb::DeleteMessageRequest::default()
                })
            }
            62..72 => Act::Notify(pb::NotifyActionRequest {
                bot_code: bot_code(),
                dialog_id: dialog,
                // Dialog, action and duration together are the mark.
                action: i32::try_from(number / 600 % 12).unwrap(),
                duration: Some(prost_types::Duration {
                    seconds: i64::try_from(1 + number % 600).unwrap(),
                    nanos: 0,
                }),
                ..pb::NotifyActionRequest::default()
            }),
            72..77 => Act::Execute(pb::ExecuteCommandRequest {
                bot_id: self.bot_id,
                message_id,
                command: "help".to_owned(),
                params: text.to_owned(),
                ..pb::ExecuteCommandRequest::default()
            }),
            77..80 => Act::RegisterCommand(pb::RegisterCommandRequest {
                bot_code: bot_code(),
                command: pool,
                title: title(),
                if_exists: if dice.chance(70) {
                    pb::IfExists::Converge.into()
                } else {
                    pb::IfExists::Return.into()
                },
                ..pb::RegisterCommandRequest::default()
            }),
            80..83 => Act::RegisterCommand(pb::RegisterCommandRequest {
                bot_code: bot_code(),
                command: format!("once{number}"),
                title: title(),
                ..pb::RegisterCommandRequest::default()
            }),
            83..87 => Act::UpdateCommand(pb::UpdateCommandRequest {
                bot_code: bot_code(),
                target: Some(pb::update_command_request::Target::Command(pool)),
                title: title(),
                ..pb::UpdateCommandRequest::default()
            }),
            87..90 if !notes.commands.is_empty() => {
                let at = dice.below(notes.commands.len());
                let command = notes.commands.swap_remove(at);
                Act::UnregisterCommand(pb::UnregisterCommandRequest {
                    bot_code: bot_code(),
                    target: Some(pb::unregister_command_request::Target::Command(command)),
                    ..pb::UnregisterCommandRequest::default()
                })
            }
            90..93 => Act::UpdateBot(pb::UpdateBotRequest {
                bot_code: bot_code(),
                properties: Some(pb::BotProperties {
                    work_position: Some(text.to_owned()),
                    ..pb::BotProperties::default()
                }),
                ..pb::UpdateBotRequest::default()
            }),
            93..96 => Act::ListCommands(pb::ListCommandsRequest {
                bot_code: bot_code(),
                ..pb::ListCommandsRequest::default()
            }),
            96 => Act::ListBots(pb::ListBotsRequest::default()),
            _ => Act::GetBot(pb::GetBotRequest {
                bot_code: bot_code(),
                ..pb::GetBotRequest::default()
            }),
        }
    }
}

/// A text with the mark of a wish; some look like references to other calls of a batch.
fn text(number: usize, dice: &mut Dice) -> String {
    let mark = format!("<<{number}>>");
    match dice.below(14) {
        0 => format!("$result[c00][id] {mark}"),
        1 => format!("{mark} and $RESULT[c01] and $eRRor[c00]"),
        2 => format!("$Next[c00]$total[x]$TIME[c02] {mark}"),
        3 => format!("5$ (result) [ok] 50% & a=b + c {mark}"),
        4 => format!("Grüße an {mark}: \"'\\/#?"),
        _ => format!("{mark} is said"),
    }
}

/// A connection for each caller.
pub(super) async fn lines(scene: &Scene) -> Vec<Line> {
    let connect = |_| async {
        let endpoint = Channel::from_shared(format!("http://{}", scene.address())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Line {
            bots: BotServiceClient::new(channel.clone()),
            messages: MessageServiceClient::new(channel),
        }
    };
    join_all((0..CALLERS).map(connect)).await
}
