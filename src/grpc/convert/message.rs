//! Messages: wishes inwards, ids outwards.

use std::time::Duration;

use super::{
    check::Check,
    content::{attach, content, keyboard, text},
    portal::named,
};
use crate::{
    bots::{Busy, KeyboardChange, Message, MessageChange, MessageName, SentMessage},
    grpc::{caller::Arrival, status::Refusal},
    proto::v1 as pb,
};

/// Messages forwarded by one call.
const FORWARDS: usize = 100;

/// How long a bot may be shown as busy, in seconds.
const BUSY_SECONDS: std::ops::RangeInclusive<u64> = 1..=600;

pub(in crate::grpc) fn sending(
    arrival: &mut Arrival<'_>,
    request: pb::SendMessageRequest,
) -> Result<Message, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let bot = check.parsed("bot_code", &request.bot_code);
    let dialog = check.parsed("dialog_id", &request.dialog_id);
    let forwards = request.forward_message_ids;
    let content = match &request.content {
        None if !forwards.is_empty() => None,
        said => Some(content(&mut check, "content", said.as_ref())),
    };
    if let Some(id) = request.reply_id {
        check.id("reply_id", id);
        if content.is_none() {
            check.broken("reply_id", "works only with a content");
        }
    }
    if forwards.len() > FORWARDS {
        let rule = format!(
            "must be at most {FORWARDS} messages, has {}",
            forwards.len()
        );
        check.broken("forward_message_ids", rule);
    } else {
        for (index, id) in forwards.iter().enumerate() {
            check.id(&format!("forward_message_ids[{index}]"), *id);
        }
    }
    check.idempotency_key(&request.idempotency_key);
    let ((portal, bot), dialog) = check.done(portal.zip(bot).zip(dialog))?;
    Ok(Message {
        portal: arrival.bot(portal, &bot)?,
        bot,
        dialog,
        content,
        reply_to: request.reply_id,
        forwards,
        skip_connector: request.skip_connector,
        silent_connector: request.silent_connector,
        key: None,
    })
}

pub(in crate::grpc) fn sent(sent: SentMessage) -> pb::SendMessageResponse {
    let forwards = sent.forwards.into_iter();
    pb::SendMessageResponse {
        message_id: sent.id,
        forwarded_message_ids: forwards.map(Option::unwrap_or_default).collect(),
    }
}

pub(in crate::grpc) fn change(
    arrival: &mut Arrival<'_>,
    request: pb::UpdateMessageRequest,
) -> Result<(MessageName, MessageChange), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let bot = check.parsed("bot_code", &request.bot_code);
    check.id("message_id", request.message_id);
    if let Some(said) = &request.text {
        text(&mut check, "text", said);
        if said.trim().is_empty() && request.attach.is_none() {
            check.broken(
                "text",
                "must not be empty unless there is an attach: Bitrix24 would delete the message",
            );
        }
    }
    let attach = attach(&mut check, "attach", request.attach.as_ref());
    let keyboard = keyboard(&mut check, "keyboard", request.keyboard.as_ref());
    if keyboard.is_some() && request.remove_keyboard {
        check.broken("remove_keyboard", "works only without a keyboard");
    }
    let keyboard = match keyboard {
        None if request.remove_keyboard => Some(KeyboardChange::Remove),
        keyboard => keyboard.map(KeyboardChange::Set),
    };
    let change = MessageChange {
        text: request.text,
        attach,
        keyboard,
        url_preview: request.url_preview,
    };
    if change.text.is_none()
        && change.attach.is_none()
        && change.keyboard.is_none()
        && change.url_preview.is_none()
    {
        check.broken("text", "nothing is to be changed: give at least one field");
    }
    check.idempotency_key(&request.idempotency_key);
    let (portal, bot) = check.done(portal.zip(bot))?;
    let name = MessageName {
        portal: arrival.bot(portal, &bot)?,
        bot,
        id: request.message_id,
    };
    Ok((name, change))
}

pub(in crate::grpc) fn deletion(
    arrival: &mut Arrival<'_>,
    request: pb::DeleteMessageRequest,
) -> Result<(MessageName, bool), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let bot = check.parsed("bot_code", &request.bot_code);
    check.id("message_id", request.message_id);
    check.idempotency_key(&request.idempotency_key);
    let (portal, bot) = check.done(portal.zip(bot))?;
    let name = MessageName {
        portal: arrival.bot(portal, &bot)?,
        bot,
        id: request.message_id,
    };
    Ok((name, request.complete))
}

pub(in crate::grpc) fn busy(
    arrival: &mut Arrival<'_>,
    request: pb::NotifyActionRequest,
) -> Result<Busy, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let bot = check.parsed("bot_code", &request.bot_code);
    let dialog = check.parsed("dialog_id", &request.dialog_id);
    let action = check.known("action", request.action).and_then(action);
    let seconds = request.duration.and_then(|duration| {
        let seconds = Duration::try_from(duration)
            .ok()
            .filter(|duration| duration.subsec_nanos() == 0)
            .map(|duration| duration.as_secs())
            .filter(|seconds| BUSY_SECONDS.contains(seconds));
        if seconds.is_none() {
            check.broken("duration", "must be 1 s to 600 s in whole seconds");
        }
        seconds
    });
    check.idempotency_key(&request.idempotency_key);
    let ((portal, bot), dialog) = check.done(portal.zip(bot).zip(dialog))?;
    Ok(Busy {
        portal: arrival.bot(portal, &bot)?,
        bot,
        dialog,
        action,
        seconds,
    })
}

/// Bitrix24's name of an action; `None` for typing.
fn action(action: pb::BotAction) -> Option<&'static str> {
    use pb::BotAction as Action;
    Some(match action {
        Action::Unspecified => return None,
        Action::Thinking => "IMBOT_AGENT_ACTION_THINKING",
        Action::Searching => "IMBOT_AGENT_ACTION_SEARCHING",
        Action::Generating => "IMBOT_AGENT_ACTION_GENERATING",
        Action::Analyzing => "IMBOT_AGENT_ACTION_ANALYZING",
        Action::Processing => "IMBOT_AGENT_ACTION_PROCESSING",
        Action::Translating => "IMBOT_AGENT_ACTION_TRANSLATING",
        Action::Connecting => "IMBOT_AGENT_ACTION_CONNECTING",
        Action::Checking => "IMBOT_AGENT_ACTION_CHECKING",
        Action::Calculating => "IMBOT_AGENT_ACTION_CALCULATING",
        Action::ReadingDocs => "IMBOT_AGENT_ACTION_READING_DOCS",
        Action::Composing => "IMBOT_AGENT_ACTION_COMPOSING",
    })
}
