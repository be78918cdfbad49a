//! What a portal, or whatever stands before it, can do to us.
//!
//! For each kind of call and each kind of trouble: no panic, no hang, a typed error that names the
//! method, no credential in it, and an `executed` that the portal's own journal agrees with.

mod batch;
mod events;
mod system;
mod trouble;

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{Effect, Fault, Limits};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, Told, content, help, raw_answer, told};

/// More than the 65 s after which the transport gives up, so that it is the transport that does.
const DEADLINE: Duration = Duration::from_secs(100);

/// The calls that are troubled: reads, sets that may be repeated, effects that may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    GetBot,
    ListCommands,
    UpdateBot,
    AnswerCommand,
    ExecuteCommand,
    SendMessage,
    UpdateMessage,
}

impl Call {
    const ALL: [Self; 7] = [
        Self::GetBot,
        Self::ListCommands,
        Self::UpdateBot,
        Self::AnswerCommand,
        Self::ExecuteCommand,
        Self::SendMessage,
        Self::UpdateMessage,
    ];

    fn method(self) -> &'static str {
        match self {
            Self::GetBot => "imbot.v2.Bot.get",
            Self::ListCommands => "imbot.v2.Command.list",
            Self::UpdateBot => "imbot.v2.Bot.update",
            Self::AnswerCommand => "imbot.v2.Command.answer",
            Self::ExecuteCommand => "im.message.command",
            Self::SendMessage => "imbot.v2.Chat.Message.send",
            Self::UpdateMessage => "imbot.v2.Chat.Message.update",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::GetBot | Self::ListCommands)
    }
}

/// A message to a person.
fn hello(user: i64) -> pb::SendMessageRequest {
    pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: user.to_string(),
        content: Some(content("Hello")),
        ..pb::SendMessageRequest::default()
    }
}

/// A scene in which nothing is paced and a command waits that can be answered for good.
struct Stage {
    scene: Scene,
    bot_id: i64,
    command_id: i64,
    /// Typed by the owner of the credential in the private dialog.
    message_id: i64,
    /// Sent by the bot to the same person.
    sent_id: i64,
}

impl Stage {
    async fn new() -> Self {
        let settings = [
            ("rate.requests_per_second", "0"),
            // One call is one request here: what is repeated is another story.
            ("calls.attempts", "1"),
            ("polling.idle_pause", "5m"),
        ];
        let mut scene = Scene::with(&settings).await;
        scene.events_are_whole();
        scene.portal.set_limits(Limits::none());
        let bot_id = scene.helper().await;
        let command_id = scene.portal.commands(bot_id)[0].id;
        let message_id = scene
            .portal
            .user(scene.john)
            .types_to_bot(bot_id, "/help")
            .unwrap();
        let sent = scene.messages().send_message(hello(scene.john)).await;
        Self {
            scene,
            bot_id,
            command_id,
            message_id,
            sent_id: sent.unwrap().into_inner().message_id.unwrap(),
        }
    }

    /// Makes the call; the test ends if it never ends.
    async fn call(&mut self, call: Call) -> Result<(), Status> {
        fn long<T>(message: T) -> Request<T> {
            let mut request = Request::new(message);
            request.set_timeout(DEADLINE);
            request
        }
        let bot_code = || "helper".to_owned();
        let mut messages = self.scene.messages();
        let bots = &mut self.scene.bots;
        let calling = async {
            match call {
                Call::GetBot => {
                    let request = pb::GetBotRequest {
                        bot_code: bot_code(),
                        ..pb::GetBotRequest::default()
                    };
                    bots.get_bot(long(request)).await.map(drop)
                }
                Call::ListCommands => {
                    let request = pb::ListCommandsRequest {
                        bot_code: bot_code(),
                        ..pb::ListCommandsRequest::default()
                    };
                    bots.list_commands(long(request)).await.map(drop)
                }
                Call::UpdateBot => {
                    let request = pb::UpdateBotRequest {
                        bot_code: bot_code(),
                        is_reactions_enabled: Some(true),
                        ..pb::UpdateBotRequest::default()
                    };
                    bots.update_bot(long(request)).await.map(drop)
                }
                Call::AnswerCommand => {
                    let dialog = self.scene.john.to_string();
                    let request =
                        raw_answer(self.command_id, self.message_id, &dialog, "Here you are");
                    bots.answer_command(long(request)).await.map(drop)
                }
                Call::ExecuteCommand => {
                    let request = pb::ExecuteCommandRequest {
                        bot_id: self.bot_id,
                        message_id: self.message_id,
                        command: help().command,
                        ..pb::ExecuteCommandRequest::default()
                    };
                    bots.execute_command(long(request)).await.map(drop)
                }
                Call::SendMessage => {
                    let request = long(hello(self.scene.john));
                    messages.send_message(request).await.map(drop)
                }
                Call::UpdateMessage => {
                    let request = pb::UpdateMessageRequest {
                        bot_code: bot_code(),
                        message_id: self.sent_id,
                        text: Some("Hello again".to_owned()),
                        ..pb::UpdateMessageRequest::default()
                    };
                    messages.update_message(long(request)).await.map(drop)
                }
            }
        };
        let ended = timeout(DEADLINE + Duration::from_secs(5), calling).await;
        ended.unwrap_or_else(|_| panic!("{call:?} never ended"))
    }

    /// Makes the call while it meets a fault, checks what must hold of any outcome, and then that the
    /// next call finds everything in order.
    async fn troubled(&mut self, call: Call, name: &str, fault: Fault) -> Result<(), Told> {
        let journal = self.scene.portal.journal();
        journal.clear();
        self.scene.portal.faults().on(call.method(), fault);
        let started = Instant::now();
        let outcome = self.call(call).await;
        assert!(
            started.elapsed() < Duration::from_secs(70),
            "{call:?}, {name}: took {:?}",
            started.elapsed()
        );
        assert_eq!(
            self.scene.portal.faults().waiting(),
            0,
            "{call:?}, {name}: the fault was not met"
        );
        let sent = journal.calls(call.method());
        assert_eq!(sent.len(), 1, "{call:?}, {name}: sent more than once");
        let outcome = outcome.map_err(|status| {
            let told = told(&status);
            let ran = sent[0].executed;
            let true_to_it = match told.executed.as_str() {
                "no" => call.reads() || !ran,
                "yes" => ran,
                "unknown" => true,
                _ => false,
            };
            assert!(true_to_it, "{call:?}, {name}: ran = {ran}, told {told:?}");
            // Only what surely did not run may be repeated blindly.
            assert!(
                told.code != Code::Unavailable || told.executed == "no",
                "{call:?}, {name}: {told:?}"
            );
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                info.metadata.get("method").map(String::as_str),
                Some(call.method()),
                "{call:?}, {name}"
            );
            assert_eq!(
                info.metadata.get("portal").map(String::as_str),
                Some("default"),
                "{call:?}, {name}"
            );
            self.keeps_secrets(&status);
            told
        });
        if matches!(&outcome, Err(told) if told.reason == "PORTAL_OPERATING_LIMIT") {
            // The method is left alone for as long as the portal bans it.
            tokio::time::sleep(Duration::from_secs(301)).await;
        }
        self.call(call)
            .await
            .unwrap_or_else(|status| panic!("{call:?} after {name}: {status}"));
        outcome
    }

    fn keeps_secrets(&self, status: &Status) {
        let shown = format!(
            "{status:?} {status} {}",
            String::from_utf8_lossy(status.details())
        );
        let code = self.scene.portal.webhook_url();
        let code = code.trim_end_matches('/').rsplit('/').next().unwrap();
        let token = self
            .scene
            .portal
            .bot_by_code("helper")
            .unwrap()
            .token
            .unwrap();
        for secret in [code, &token] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    fn answers_posted(&self) -> usize {
        let by_bot = |effect: &Effect| {
            matches!(
                effect,
                Effect::MessagePosted {
                    by_bot: Some(_),
                    ..
                }
            )
        };
        let effects = self.scene.portal.journal().effects();
        effects.iter().filter(|effect| by_bot(effect)).count()
    }
}
