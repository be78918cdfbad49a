//! Answers a slash command, and tells whether the answer can have been posted.
//!
//! Bitrix24 answers `true` also when it posts nothing, so whether the answer window is open is
//! decided here, at the moment of sending.

use super::{Bots, Error, directory::Identity, execute::done, window::State, wish::Content};
use crate::{
    fault::{Executed, Fault as _},
    ids::{BotCode, DialogId, PortalId},
    portal::{
        Patience,
        wire::{Method, answer},
    },
    store::{AnswerBegun, Item},
};

/// An answer to a slash command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The portal.
    pub portal: PortalId,
    /// The bot that answers; `None` takes the event's.
    pub bot: Option<BotCode>,
    /// What is answered.
    pub target: Target,
    /// What to say.
    pub content: Content,
    /// What to do when it would not be posted.
    pub if_closed: IfClosed,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Target {
    /// An event of the log, by its number: answered at most once.
    Event(u64),
    /// The ids of a command: every call posts.
    Command {
        /// The registered command.
        command_id: i64,
        /// The message; it decides the dialog.
        message_id: i64,
        /// The dialog.
        dialog: DialogId,
    },
}

/// What to do when the window is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfClosed {
    /// Fail.
    Refuse,
    /// Send an ordinary message.
    SendMessage,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Taken while the window was open.
    Posted,
    /// Taken; nobody can tell whether the window was open.
    WindowUnknown,
    /// Sent as an ordinary message with this id.
    Message(Option<i64>),
    /// Was answered before.
    Already,
}

impl Bots {
    /// Answers a command.
    ///
    /// # Errors
    ///
    /// [`Error::WindowClosed`], [`Error::UnknownBot`], [`Error::UnknownEvent`],
    /// [`Error::AnswerUnknown`], or whatever the portal or the store says.
    pub async fn answer(&self, answer: Answer, patience: &Patience) -> Result<Answered, Error> {
        match answer.target {
            Target::Event(seq) => self.answer_event(answer, seq, patience).await,
            Target::Command {
                command_id,
                message_id,
                ref dialog,
            } => {
                let dialog = dialog.clone();
                // The edge asks for the bot where there is no event.
                let code = answer.bot.as_ref().ok_or(Error::UnknownEvent)?;
                let bot = self.identity(&answer.portal, code)?;
                self.post(
                    &answer.portal,
                    &bot,
                    command_id,
                    message_id,
                    dialog,
                    answer.content,
                    answer.if_closed,
                    patience,
                )
                .await
            }
        }
    }

    /// At most once: the intent is durable before the call leaves, the outcome after.
    async fn answer_event(
        &self,
        answer: Answer,
        seq: u64,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let stored = self.0.store.find(seq).await?.filter(|stored| {
            stored.portal == answer.portal
                && answer.bot.as_ref().is_none_or(|code| *code == stored.code)
        });
        let stored = stored.ok_or(Error::UnknownEvent)?;
        let Item::Event(event) = stored.entry.item else {
            return Err(Error::UnknownEvent);
        };
        let (Some(command), Some(dialog)) = (event.command, event.dialog) else {
            return Err(Error::NotACommand);
        };
        let bot = self.identity(&stored.portal, &stored.code)?;
        let _turn = self.0.answers.of(seq).await;
        match self.0.store.begin_answer(seq).await? {
            AnswerBegun::New => {}
            AnswerBegun::Answered => return Ok(Answered::Already),
            AnswerBegun::Unknown => return Err(Error::AnswerUnknown),
        }
        let ids = (command.command_id, command.message_id);
        let outcome = self
            .post(
                &stored.portal,
                &bot,
                ids.0,
                ids.1,
                dialog,
                answer.content,
                answer.if_closed,
                patience,
            )
            .await;
        match &outcome {
            Ok(_) => self.0.store.finish_answer(seq).await?,
            Err(error) if error.executed() == Executed::No => {
                self.0.store.release_answer(seq).await?
            }
            // The intent stays, and says to whoever asks again that nobody knows.
            Err(_) => {}
        }
        outcome
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the ids of a command belong together only here"
    )]
    async fn post(
        &self,
        portal: &PortalId,
        bot: &Identity,
        command_id: i64,
        message_id: i64,
        dialog: DialogId,
        content: Content,
        if_closed: IfClosed,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let portal = self.portal(portal)?;
        let permit = portal.permit(Method::CommandAnswer, patience).await?;
        let window =
            self.window()
                .state(portal.id(), bot.bot_id, &dialog, message_id, portal.now());
        let outcome = match (window, if_closed) {
            (State::Open, _) => Answered::Posted,
            (State::Unknown, _) => Answered::WindowUnknown,
            (State::Closed, IfClosed::Refuse) => {
                return Err(Error::WindowClosed {
                    dialog: dialog.to_string(),
                });
            }
            (State::Closed, IfClosed::SendMessage) => {
                let call = bot
                    .call(Method::MessageSend)
                    .with("dialogId", dialog.as_str())
                    .with("fields", content.fields());
                let reply = permit.send(call).await?;
                // It was taken, whatever else the answer says.
                let id = answer::sent(&reply.result).ok().and_then(|sent| sent.id);
                return Ok(Answered::Message(id));
            }
        };
        let call = bot
            .call(Method::CommandAnswer)
            .with("commandId", command_id)
            .with("messageId", message_id)
            .with("dialogId", dialog.as_str())
            .with("fields", content.fields());
        let reply = permit.send(call).await?;
        done(portal, Method::CommandAnswer, &reply)?;
        Ok(outcome)
    }
}
