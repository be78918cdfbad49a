//! Answers a slash command, and tells whether the answer can have been posted.
//!
//! Bitrix24 answers `true` also when it posts nothing, so whether the answer window is open is
//! decided here, at the moment of sending.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tracing::error;

use super::{
    Bots, Error, directory::Identity, execute::done, metrics::To, window::State, wish::Content,
};
use crate::{
    fault::{Chain, Executed, Fault as _},
    ids::{BotCode, DialogId, PortalId},
    portal::{
        Cause, Guard, Patience, Portal,
        wire::{Method, answer},
    },
    store::{AnswerBegun, CommandRef, Item, SubscriptionId},
};

/// An answer to a slash command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What is answered.
    pub target: Target,
    /// What to say.
    pub content: Content,
    /// What to do when it would not be posted.
    pub if_closed: IfClosed,
    /// Progress of an event, which settles nothing.
    pub progress: bool,
    /// Subscriptions in which an event is done with its answer.
    pub done_in: Vec<SubscriptionId>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Target {
    /// An event of the log: answered at most once.
    Event {
        /// The portal it must be of; `None` for any.
        portal: Option<PortalId>,
        /// The bot it must be of; `None` for any.
        code: Option<BotCode>,
        /// Its number.
        seq: u64,
    },
    /// The ids of a command: every call posts.
    Command {
        /// The portal.
        portal: PortalId,
        /// The bot that was called.
        code: BotCode,
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

/// An event that is to be answered.
struct Occasion {
    seq: u64,
    progress: bool,
    done_in: Vec<SubscriptionId>,
}

/// What a command's answer needs, however it was named.
struct Post {
    command_id: i64,
    message_id: i64,
    dialog: DialogId,
    content: Content,
    if_closed: IfClosed,
    to: To,
}

impl Bots {
    /// Answers a command.
    ///
    /// # Errors
    ///
    /// [`Error::WindowClosed`], [`Error::UnknownBot`], [`Error::UnknownEvent`],
    /// [`Error::AnswerUnknown`], or whatever the portal or the store says.
    // Thousands may wait for their turn: what they hold meanwhile is kept small, hence the boxes.
    pub async fn answer(
        &self,
        answer: Box<Answer>,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let mut answer = answer;
        let occasion = match &answer.target {
            Target::Command { .. } => None,
            Target::Event { seq, .. } => Some(Occasion {
                seq: *seq,
                progress: answer.progress,
                done_in: std::mem::take(&mut answer.done_in),
            }),
        };
        let (bot, post) = Box::pin(self.addressed(answer)).await?;
        match occasion {
            Some(occasion) if occasion.progress => {
                Box::pin(self.post_progress(occasion.seq, &bot, post, patience)).await
            }
            Some(occasion) => Box::pin(self.post_once(occasion, &bot, post, patience)).await,
            None => {
                let to = post.to;
                let outcome = self.post(&bot, post, patience).await;
                self.note_outcome(&bot, to, &outcome);
                outcome
            }
        }
    }

    /// A final answer came to its end.
    fn note_outcome(&self, bot: &Identity, to: To, outcome: &Result<Answered, Error>) {
        self.note_said(&bot.name, true, outcome.as_ref().err());
        if let Ok(portal) = self.portal(&bot.name.0) {
            let now = self.0.clock.now();
            self.0.metrics.ended(portal.label(), to, outcome, now);
        }
    }

    /// Which bot answers, and what.
    async fn addressed(&self, answer: Box<Answer>) -> Result<(Identity, Box<Post>), Error> {
        let Answer {
            target,
            content,
            if_closed,
            ..
        } = *answer;
        let (bot, command_id, message_id, dialog, to) = match target {
            Target::Event { portal, code, seq } => {
                let found = self.called(portal.as_ref(), code.as_ref(), seq).await?;
                let (bot, command, dialog, arrived) = found;
                let to = To::Event(arrived);
                (bot, command.command_id, command.message_id, dialog, to)
            }
            Target::Command {
                portal,
                code,
                command_id,
                message_id,
                dialog,
            } => {
                let bot = self.identity(&portal, &code)?;
                (bot, command_id, message_id, dialog, To::Ids)
            }
        };
        let post = Post {
            command_id,
            message_id,
            dialog,
            content,
            if_closed,
            to,
        };
        Ok((bot, Box::new(post)))
    }

    /// The command of an event, the bot that was called, and when it arrived.
    async fn called(
        &self,
        portal: Option<&PortalId>,
        code: Option<&BotCode>,
        seq: u64,
    ) -> Result<(Identity, CommandRef, DialogId, Timestamp), Error> {
        let stored = self.0.store.find(seq).await?.filter(|stored| {
            portal.is_none_or(|portal| *portal == stored.portal)
                && code.is_none_or(|code| *code == stored.code)
        });
        let stored = stored.ok_or(Error::UnknownEvent)?;
        let Item::Event(event) = stored.entry.item else {
            return Err(Error::UnknownEvent);
        };
        let command = event.command.ok_or(Error::NotACommand)?;
        if command.command_id == 0 || command.message_id == 0 {
            return Err(Error::Unanswerable);
        }
        let dialog = event.dialog.ok_or(Error::Unanswerable)?;
        Ok((
            self.identity(&stored.portal, &stored.code)?,
            command,
            dialog,
            stored.entry.received_at,
        ))
    }

    /// As often as it is called, but not behind the answer.
    async fn post_progress(
        &self,
        seq: u64,
        bot: &Identity,
        post: Box<Post>,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let _turn = self.0.answers.of(seq).await;
        match self.0.store.answer_begun(seq).await? {
            AnswerBegun::New => self.post(bot, post, patience).await,
            AnswerBegun::Answered => Ok(Answered::Already),
            AnswerBegun::Unknown => Err(Error::AnswerUnknown),
        }
    }

    /// At most once: the intent is durable before the call leaves, the outcome after.
    async fn post_once(
        &self,
        occasion: Occasion,
        bot: &Identity,
        post: Box<Post>,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let Occasion { seq, done_in, .. } = occasion;
        let store = &self.0.store;
        let _turn = self.0.answers.of(seq).await;
        match store.begin_answer(seq).await? {
            AnswerBegun::New => {}
            AnswerBegun::Answered => {
                if !done_in.is_empty() {
                    store.finish_answer(seq, done_in).await?;
                }
                return Ok(Answered::Already);
            }
            AnswerBegun::Unknown => {
                self.lose(seq, done_in).await;
                return Err(Error::AnswerUnknown);
            }
        }
        let to = post.to;
        let outcome = self.post(bot, post, patience).await;
        self.note_outcome(bot, to, &outcome);
        match &outcome {
            // It was posted. Should this write fail, whoever repeats is told that nobody knows.
            Ok(_) => {
                if let Err(error) = store.finish_answer(seq, done_in).await
                    && let Some(untold) = self.0.losses.may_tell(Instant::now())
                {
                    error!(event.seq = seq, error = %Chain(&error), untold, "answer was posted but cannot be recorded");
                }
            }
            Err(error) if error.executed() == Executed::No => {
                store.release_answer(seq).await?;
            }
            // The intent stays, and says to whoever asks again that nobody knows.
            Err(_) => self.lose(seq, done_in).await,
        }
        outcome
    }

    /// Nobody knows whether it was posted. A write that fails is made up for when the answer is tried again,
    /// or at the next start.
    async fn lose(&self, seq: u64, lost_in: Vec<SubscriptionId>) {
        if lost_in.is_empty() {
            return;
        }
        let now = self.0.clock.now();
        if let Err(error) = self.0.store.lose_answer(seq, lost_in, now).await
            && let Some(untold) = self.0.losses.may_tell(Instant::now())
        {
            error!(event.seq = seq, error = %Chain(&error), untold, "event whose answer is lost cannot be set aside");
        }
    }

    async fn post(
        &self,
        bot: &Identity,
        post: Box<Post>,
        patience: &Patience,
    ) -> Result<Answered, Error> {
        let portal = self.portal(&bot.name.0)?;
        let seen = Arc::new(Mutex::new(State::Unknown));
        let open = self.window_is_open(bot, &portal, &post, &seen);
        let Post {
            command_id,
            message_id,
            dialog,
            content,
            if_closed,
            ..
        } = *post;
        let fields = content.fields();
        let message = |fields: Value| {
            bot.call(Method::MessageSend)
                .with("dialogId", dialog.as_str())
                .with("fields", fields)
        };
        // Asked twice: now, so that what cannot be posted costs nothing, and when it leaves.
        let (answer, mut instead) = match (open.lets_through(), if_closed) {
            (false, IfClosed::Refuse) => return Err(Error::WindowClosed(dialog)),
            (false, IfClosed::SendMessage) => (None, Some(message(fields))),
            (true, _) => {
                let instead = (if_closed == IfClosed::SendMessage).then(|| message(fields.clone()));
                let answer = bot
                    .call(Method::CommandAnswer)
                    .with("commandId", command_id)
                    .with("messageId", message_id)
                    .with("dialogId", dialog.as_str())
                    .with("fields", fields)
                    .only_if(open);
                (Some(answer), instead)
            }
        };
        if let Some(answer) = answer {
            match portal.call(answer, patience).await {
                Err(error) if matches!(error.cause(), Cause::Withdrawn) => {}
                answered => {
                    done(&portal, Method::CommandAnswer, &answered?)?;
                    return Ok(match *seen.lock().unwrap_or_else(PoisonError::into_inner) {
                        State::Unknown => Answered::WindowUnknown,
                        State::Open | State::Closed => Answered::Posted,
                    });
                }
            }
        }
        let Some(message) = instead.take() else {
            return Err(Error::WindowClosed(dialog));
        };
        let reply = Box::pin(portal.call(message, patience)).await?;
        // It was taken, whatever else the answer says.
        let id = answer::sent(&reply.result).ok().and_then(|sent| sent.id);
        Ok(Answered::Message(id))
    }

    /// Says whether the answer would be posted; what was seen when it was asked last stays in `seen`.
    fn window_is_open(
        &self,
        bot: &Identity,
        portal: &Portal,
        post: &Post,
        seen: &Arc<Mutex<State>>,
    ) -> Guard {
        let (bots, portal, seen) = (self.clone(), portal.clone(), Arc::clone(seen));
        let (bot_id, dialog, message_id) = (bot.bot_id, post.dialog.clone(), post.message_id);
        Guard::new(move || {
            let state = if portal.has_answer_window() {
                let window = bots.window();
                window.state(portal.id(), bot_id, &dialog, message_id, portal.now())
            } else {
                State::Unknown
            };
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = state;
            state != State::Closed
        })
    }
}
