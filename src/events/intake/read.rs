//! What an event of a bot becomes in the log.

use jiff::Timestamp;

use crate::{
    bots::Seen,
    ids::{BotCode, DialogId, PortalId},
    portal::wire::event::{Body, RawEvent},
    store::{self, CommandRef, Skip},
};

/// Whose event it is.
pub(super) struct Origin<'a> {
    pub(super) portal: &'a PortalId,
    pub(super) code: &'a BotCode,
    pub(super) bot_id: i64,
    /// Which ones are not ours.
    pub(super) skip: Skip,
}

pub(super) enum Read {
    Event(Box<store::Event>, Option<Seen>),
    /// Handled elsewhere, before the bot was adopted.
    Skipped,
}

/// Reads an event; `key` names it among those of the bot.
pub(super) fn read(
    origin: &Origin<'_>,
    raw: &RawEvent,
    key: &str,
    now: Timestamp,
) -> Result<Read, String> {
    let event = raw.read().map_err(|unreadable| unreadable.to_string())?;
    let happened_at = event.date.unwrap_or(now);
    let skipped = match origin.skip {
        Skip::Nothing => false,
        Skip::Before(adopted) => happened_at < adopted,
        Skip::UpTo(handled) => raw.event_id.is_some_and(|id| id <= handled),
    };
    if skipped {
        return Ok(Read::Skipped);
    }
    let dialog = dialog(&event.body).and_then(|id| id.parse::<DialogId>().ok());
    let command = match &event.body {
        Body::CommandAdd {
            command,
            message,
            user,
            ..
        } => Some(CommandRef {
            // Without its ids a command can be seen, but not answered.
            command_id: command.id.unwrap_or_default(),
            message_id: message.as_ref().map_or(0, |message| message.id),
            user_id: user.as_ref().map_or(0, |user| user.id),
            typed: command.context.as_deref() == Some("textarea"),
        }),
        _ => None,
    };
    let seen = command.zip(dialog.clone()).map(|(command, dialog)| Seen {
        portal: origin.portal.clone(),
        bot_id: origin.bot_id,
        dialog,
        message_id: command.message_id,
        at: happened_at,
        typed: command.typed,
    });
    let body = serde_json::to_vec(&raw.value).map_err(|error| error.to_string())?;
    let entry = store::Event {
        dedupe_key: format!("{}/{key}", origin.code),
        kind: event.kind.as_str().to_owned(),
        dialog,
        happened_at,
        trace_context: None,
        command,
        body: store::Body(body),
    };
    Ok(Read::Event(Box::new(entry), seen))
}

/// Where an event happened. A chat that is reduced to its id is named by that: whether it is a
/// private dialog is not told, and Bitrix24 goes by the message anyway (C18.5).
fn dialog(body: &Body) -> Option<String> {
    let (chat, message) = match body {
        Body::JoinChat { dialog_id, .. } | Body::ContextGet { dialog_id, .. } => {
            return dialog_id.clone();
        }
        Body::MessageAdd { chat, message, .. }
        | Body::MessageUpdate { chat, message, .. }
        | Body::CommandAdd { chat, message, .. }
        | Body::ReactionChange { chat, message, .. } => (chat, message.as_ref()),
        Body::MessageDelete { chat, .. } => (chat, None),
        Body::Delete | Body::Other(_) => return None,
    };
    let named = chat.as_ref().and_then(|chat| chat.dialog_id.clone());
    let id = || chat.as_ref().map(|chat| chat.id).or(message?.chat_id);
    named.or_else(|| id().map(|id| format!("chat{id}")))
}
