//! What callers ask for, and how they are answered.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, AnswerOutcome, RegistrationOutcome, bot_service_client::BotServiceClient,
    message_service_client::MessageServiceClient,
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::scene::{Told, told};

/// A request, whatever its kind.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Answer(pb::AnswerCommandRequest),
    Send(pb::SendMessageRequest),
    Change(pb::UpdateMessageRequest),
    Delete(pb::DeleteMessageRequest),
    Notify(pb::NotifyActionRequest),
    Execute(pb::ExecuteCommandRequest),
    RegisterCommand(pb::RegisterCommandRequest),
    UpdateCommand(pb::UpdateCommandRequest),
    UnregisterCommand(pb::UnregisterCommandRequest),
    UpdateBot(pb::UpdateBotRequest),
    GetBot(pb::GetBotRequest),
    ListCommands(pb::ListCommandsRequest),
    ListBots(pb::ListBotsRequest),
}

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Done,
    /// A message was sent, with this id.
    Sent(i64),
    /// It was taken, and nobody can tell whether it was done.
    Taken,
    /// There was nothing to do.
    Idle,
    Failed(Told),
    /// A failure that does not say whether the call ran.
    Mute(String),
}

impl Outcome {
    pub(super) fn is_ok(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::Mute(_))
    }

    /// Said that nothing was done.
    pub(super) fn says_no(&self) -> bool {
        matches!(self, Self::Failed(told) if told.executed == "no") || *self == Self::Idle
    }

    /// Said that it was done.
    pub(super) fn says_yes(&self) -> bool {
        matches!(self, Self::Done | Self::Sent(_))
            || matches!(self, Self::Failed(told) if told.executed == "yes")
    }
}

/// A connection to the gateway: to it a caller.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) bots: BotServiceClient<Channel>,
    pub(super) messages: MessageServiceClient<Channel>,
}

fn within<T>(patience: Duration, message: &T) -> Request<T>
where
    T: Clone,
{
    let mut request = Request::new(message.clone());
    request.set_timeout(patience);
    request
}

impl Act {
    pub(super) async fn perform(&self, line: &Line, patience: Duration) -> Outcome {
        let answer = self.ask(line, patience).await;
        answer.unwrap_or_else(|status| match status.get_details_error_info() {
            Some(_) => Outcome::Failed(told(&status)),
            None => Outcome::Mute(format!("{:?}: {}", status.code(), status.message())),
        })
    }

    async fn ask(&self, line: &Line, patience: Duration) -> Result<Outcome, Status> {
        let Line {
            mut bots,
            mut messages,
        } = line.clone();
        Ok(match self {
            Self::Answer(request) => {
                let answer = bots.answer_command(within(patience, request)).await?;
                match answer.into_inner().outcome() {
                    AnswerOutcome::WindowUnknown => Outcome::Taken,
                    _ => Outcome::Done,
                }
            }
            Self::Send(request) => {
                let sent = messages.send_message(within(patience, request)).await?;
                Outcome::Sent(sent.into_inner().message_id.unwrap_or(0))
            }
            Self::Change(request) => {
                messages.update_message(within(patience, request)).await?;
                Outcome::Done
            }
            Self::Delete(request) => {
                messages.delete_message(within(patience, request)).await?;
                Outcome::Done
            }
            Self::Notify(request) => {
                messages.notify_action(within(patience, request)).await?;
                Outcome::Done
            }
            Self::Execute(request) => {
                bots.execute_command(within(patience, request)).await?;
                Outcome::Done
            }
            Self::RegisterCommand(request) => {
                let registered = bots.register_command(within(patience, request)).await?;
                match registered.into_inner().outcome() {
                    RegistrationOutcome::Created | RegistrationOutcome::Updated => Outcome::Done,
                    _ => Outcome::Idle,
                }
            }
            Self::UpdateCommand(request) => {
                bots.update_command(within(patience, request)).await?;
                Outcome::Done
            }
            Self::UnregisterCommand(request) => {
                bots.unregister_command(within(patience, request)).await?;
                Outcome::Done
            }
            Self::UpdateBot(request) => {
                bots.update_bot(within(patience, request)).await?;
                Outcome::Done
            }
            Self::GetBot(request) => {
                bots.get_bot(within(patience, request)).await?;
                Outcome::Taken
            }
            Self::ListCommands(request) => {
                bots.list_commands(within(patience, request)).await?;
                Outcome::Taken
            }
            Self::ListBots(request) => {
                bots.list_bots(within(patience, request)).await?;
                Outcome::Taken
            }
        })
    }

    /// The same under a key, if calls of this kind can carry one.
    pub(super) fn with_key(mut self, key: &str) -> Option<Self> {
        let place = match &mut self {
            Self::Answer(request) => &mut request.idempotency_key,
            Self::Send(request) => &mut request.idempotency_key,
            Self::Change(request) => &mut request.idempotency_key,
            Self::Delete(request) => &mut request.idempotency_key,
            Self::Notify(request) => &mut request.idempotency_key,
            Self::Execute(request) => &mut request.idempotency_key,
            _ => return None,
        };
        key.clone_into(place);
        Some(self)
    }

    /// People see each time that it runs, and nothing makes it the same again.
    pub(super) fn adds(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Send(_) | Self::Execute(_))
    }

    /// What it shares a line with: of two such calls the later one takes effect later.
    pub(super) fn order(&self) -> Option<String> {
        Some(match self {
            Self::Answer(request) => match &request.target {
                Some(pb::answer_command_request::Target::Invocation(ids)) => {
                    format!("dialog {}", ids.dialog_id)
                }
                _ => return None,
            },
            Self::Send(request) => format!("dialog {}", request.dialog_id),
            Self::Change(request) => format!("message {}", request.message_id),
            Self::RegisterCommand(_) | Self::UpdateCommand(_) => "commands".to_owned(),
            Self::UpdateBot(_) => "bot".to_owned(),
            _ => return None,
        })
    }
}
