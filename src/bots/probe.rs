//! Asks a portal, in the name of a bot, for what is relied upon without a promise.
//!
//! Calls that travel together are reads, of which the fetches acknowledge nothing. Whether a key is heeded shows
//! only by a message that is sent twice; both are deleted again. Everything comes behind what somebody waits for,
//! and nothing is sent again of which nobody knows whether it ran.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{Bots, Error, directory::Identity, execute::done, registration::told};
use crate::{
    fault::{Executed, Fault as _},
    ids::{BotCode, DialogId, MessageKey, PortalId},
    portal::{
        self, Call, Cause, Patience, Portal,
        wire::{Bot, EventPage, Method, Reply, Unreadable, answer},
    },
    store::{self, EventMode},
};

/// What is posted. People may see it for a moment.
const TEXT: &str = "Test message of bitrix24-gateway (doctor --probe). It is deleted at once.";

/// How long a request may take, waiting for its turn included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose turn they are.
const DOCTOR: &str = "doctor";

/// What was asked, and what came of it.
#[derive(Debug)]
pub(crate) struct Probed {
    /// Of calls in one request.
    pub(crate) calls: Together,
    /// Of fetches in one request.
    pub(crate) polls: Together,
    /// Of a message that was sent twice, where that was wanted.
    pub(crate) keyed: Option<Keyed>,
    /// The bot's events are posted, so that no fetch ever finds one (C12).
    pub(crate) posted: bool,
}

/// What became of calls in one request.
#[derive(Debug)]
pub(crate) enum Together {
    /// Each was answered as it should be.
    Alike,
    /// One was answered otherwise than alone.
    Otherwise(Method),
    /// The portal does not take them together.
    Refused(portal::Error),
    /// One failed, alone or together.
    Failed(portal::Error),
}

/// What became of a message that was sent twice under one key.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// Its id when it was sent first.
    pub(crate) first: Result<i64, portal::Error>,
    /// The same of the second time; none when the first surely posted nothing.
    pub(crate) second: Option<Result<i64, portal::Error>>,
    /// Messages that are there still.
    pub(crate) left: Vec<(i64, Error)>,
}

/// A bot that asks.
struct Trial {
    portal: Portal,
    bot: Identity,
}

impl Bots {
    /// Asks a portal. `dialog`: where a message may be sent twice; nowhere without.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], [`Error::CodeTaken`] where the bot is not ours, or why the portal does not tell
    /// of the bot at all. Nothing else was asked then.
    pub(crate) async fn probe(
        &self,
        portal: &PortalId,
        code: &BotCode,
        dialog: Option<&DialogId>,
    ) -> Result<Probed, Error> {
        let key = MessageKey::random();
        let key = key.map_err(|_| store::Error::from(store::keys::Error::NoRandom))?;
        let bot = self.find(portal, code)?;
        let trial = Trial {
            portal: self.portal(portal)?,
            bot: self.identity(portal, code)?,
        };
        let alone = trial.bot_alone().await?;
        if !alone.is_owner_form() {
            return Err(Error::CodeTaken(code.clone()));
        }
        Ok(Probed {
            calls: trial.calls(&alone).await,
            polls: trial.polls().await,
            keyed: match dialog {
                Some(dialog) => Some(trial.keyed(dialog, &key).await),
                None => None,
            },
            posted: bot.event_mode == EventMode::Webhook,
        })
    }
}

impl Trial {
    fn call(&self, method: Method) -> Call {
        self.bot.call(method).yielding()
    }

    async fn bot_alone(&self) -> Result<Bot, Error> {
        let reply = self.once(self.call(Method::BotGet)).await?;
        Ok(told(&self.portal, Method::BotGet, &reply)?.bot)
    }

    /// Two calls of different methods, so that it shows when their answers are exchanged. The owner's form of
    /// the bot shows that an entry keeps its own token (C17.3).
    async fn calls(&self, alone: &Bot) -> Together {
        let revision = || Call::new(Method::RevisionGet).yielding();
        let read = |reply: &Reply| answer::revision(&reply.result);
        let revision_alone = match self.once(revision()).await {
            Err(error) => return Together::Failed(error),
            Ok(reply) => match read(&reply) {
                Ok(revision) => revision,
                Err(what) => return Together::Failed(self.unreadable(Method::RevisionGet, what)),
            },
        };
        let calls = vec![self.call(Method::BotGet), revision()];
        let same_bot = |reply: &Reply| {
            let known = |bot: &Bot| (bot.id, bot.code.clone(), bot.is_owner_form());
            answer::bot(&reply.result).is_ok_and(|bot| known(&bot) == known(alone))
        };
        let same_revision = |reply: &Reply| read(reply).is_ok_and(|it| it == revision_alone);
        let is_right = |method, reply: &Reply| match method {
            Method::BotGet => same_bot(reply),
            _ => same_revision(reply),
        };
        self.together(calls, is_right).await
    }

    /// Two fetches without an offset, which acknowledge nothing (C12).
    async fn polls(&self) -> Together {
        let fetch = || self.call(Method::EventGet).with("limit", 1);
        let is_page = |_, reply: &Reply| EventPage::from_result(reply.result.clone()).is_ok();
        self.together(vec![fetch(), fetch()], is_page).await
    }

    async fn together(
        &self,
        calls: Vec<Call>,
        is_right: impl Fn(Method, &Reply) -> bool,
    ) -> Together {
        let methods: Vec<_> = calls.iter().map(|call| call.method).collect();
        let outcomes = self.portal.call_as_one(calls, &patience()).await;
        let (mut refused, mut failed, mut otherwise) = (None, None, None);
        for (method, outcome) in methods.into_iter().zip(outcomes) {
            match outcome {
                Ok(reply) if is_right(method, &reply) => {}
                Ok(_) => otherwise = Some(method),
                Err(error) if matches!(error.cause(), Cause::NotInBatch) => refused = Some(error),
                Err(error) => failed = Some(error),
            }
        }
        match (refused, otherwise, failed) {
            (Some(error), ..) => {
                self.portal.note_together(error.called(), false);
                Together::Refused(error)
            }
            (None, Some(method), _) => {
                self.portal.note_together(method, false);
                Together::Otherwise(method)
            }
            (None, None, Some(error)) => Together::Failed(error),
            (None, None, None) => Together::Alike,
        }
    }

    /// Sends a message, and again under its key unless surely nothing was posted: after an answer that was
    /// lost, a portal that heeds keys tells by it which message to delete.
    async fn keyed(&self, dialog: &DialogId, key: &MessageKey) -> Keyed {
        let first = self.say(dialog, key).await;
        let posted = |sent: &Result<_, portal::Error>| {
            sent.as_ref()
                .map_or_else(|error| error.executed() != Executed::No, |_| true)
        };
        let second = match posted(&first) {
            true => Some(self.say(dialog, key).await),
            false => None,
        };
        let ids = [
            first.as_ref().ok(),
            second.as_ref().and_then(|it| it.as_ref().ok()),
        ];
        let ids: BTreeSet<i64> = ids.into_iter().flatten().copied().collect();
        let mut left = Vec::new();
        for id in ids {
            if let Err(error) = self.delete(id).await {
                left.push((id, error));
            }
        }
        Keyed {
            first,
            second,
            left,
        }
    }

    async fn say(&self, dialog: &DialogId, key: &MessageKey) -> Result<i64, portal::Error> {
        let call = self
            .call(Method::MessageSend)
            .with("dialogId", dialog.as_str())
            .with(
                "fields",
                json!({"message": TEXT, "templateId": key.as_str()}),
            );
        let reply = self.once(call).await?;
        let sent = answer::sent(&reply.result);
        let id = sent.and_then(|sent| {
            let missing = || Unreadable::shape("id", "an id", reply.result.get("id"));
            sent.id.ok_or_else(missing)
        });
        id.map_err(|what| self.unreadable(Method::MessageSend, what))
    }

    /// A repeat of this does no harm (C16.3).
    async fn delete(&self, id: i64) -> Result<(), Error> {
        let call = self
            .call(Method::MessageDelete)
            .with("messageId", id)
            .with("complete", true);
        let reply = self.portal.call(call, &patience()).await?;
        done(&self.portal, Method::MessageDelete, &reply)
    }

    /// In a request of its own.
    async fn once(&self, mut call: Call) -> Result<Reply, portal::Error> {
        call.alone = true;
        self.portal.call_once(call, &patience()).await
    }

    fn unreadable(&self, method: Method, what: Unreadable) -> portal::Error {
        portal::Error::unreadable(method, what).at(self.portal.id())
    }
}

fn patience() -> Patience {
    Patience::until(Arc::from(DOCTOR), Instant::now() + PATIENCE)
}
