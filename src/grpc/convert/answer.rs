//! Answers: inwards what to say to what, outwards what became of it.

use super::{
    check::Check,
    content::content,
    portal::{Named, named},
};
use crate::{
    bots::{Answer, Answered, IfClosed, Target},
    events::cursor::EventId,
    grpc::status::Refusal,
    ids::{BotCode, DialogId, PortalId},
    portal::Portals,
    proto::v1::{self as pb, answer_command_request},
    store::LogId,
};

pub(in crate::grpc) fn answer(
    portals: &Portals,
    log: LogId,
    request: pb::AnswerCommandRequest,
) -> Result<Answer, Refusal> {
    use answer_command_request::Target as Wished;
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let by_ids = matches!(request.target, Some(Wished::Invocation(_)));
    let bot = if request.bot_code.is_empty() && !by_ids {
        None
    } else {
        check.parsed("bot_code", &request.bot_code)
    };
    let content = content(&mut check, "content", request.content.as_ref());
    let target = match request.target {
        None => {
            check.broken("event_id", "either `event_id` or `invocation` is needed");
            None
        }
        Some(Wished::EventId(text)) => check.parsed("event_id", &text).map(Wish::Event),
        Some(Wished::Invocation(ids)) => {
            check.id("invocation.command_id", ids.command_id);
            check.id("invocation.message_id", ids.message_id);
            let dialog = check.parsed("invocation.dialog_id", &ids.dialog_id);
            let named = bot.clone().zip(dialog);
            named.map(|(code, dialog)| Wish::Command(code, ids, dialog))
        }
    };
    let if_closed = match check.known("if_window_closed", request.if_window_closed) {
        Some(pb::IfWindowClosed::SendMessage) => IfClosed::SendMessage,
        None | Some(pb::IfWindowClosed::Unspecified | pb::IfWindowClosed::Refuse) => {
            IfClosed::Refuse
        }
    };
    check.idempotency_key(&request.idempotency_key);
    let (portal, target) = check.done(portal.zip(target))?;
    let target = match target {
        Wish::Event(EventId(cursor)) if cursor.log != log => return Err(Refusal::ForeignEvent),
        Wish::Event(EventId(cursor)) => Target::Event {
            // The event knows its portal; a name is one more thing that must fit.
            portal: match portal {
                Named::Default => None,
                named @ Named::Portal(_) => Some(named.find(portals)?),
            },
            code: bot,
            seq: cursor.seq,
        },
        Wish::Command(code, ids, dialog) => Target::Command {
            portal: portal.find(portals)?,
            code,
            command_id: ids.command_id,
            message_id: ids.message_id,
            dialog,
        },
    };
    Ok(Answer {
        target,
        content,
        if_closed,
    })
}

/// What is answered, as far as it can be judged by itself.
enum Wish {
    Event(EventId),
    Command(BotCode, pb::CommandInvocation, DialogId),
}

/// The portal in whose name an idempotency key of this answer counts: the named one, else the default.
pub(in crate::grpc) fn scope(portals: &Portals, answer: &Answer) -> PortalId {
    match &answer.target {
        Target::Command { portal, .. }
        | Target::Event {
            portal: Some(portal),
            ..
        } => portal.clone(),
        Target::Event { portal: None, .. } => portals
            .default_portal()
            .map_or_else(PortalId::default_portal, |portal| portal.id().clone()),
    }
}

pub(in crate::grpc) fn answered(answered: Answered) -> pb::AnswerCommandResponse {
    use pb::AnswerOutcome as Outcome;
    let (outcome, message_id) = match answered {
        Answered::Posted => (Outcome::Answered, None),
        Answered::WindowUnknown => (Outcome::WindowUnknown, None),
        Answered::Message(id) => (Outcome::SentAsMessage, id),
        Answered::Already => (Outcome::AlreadyAnswered, None),
    };
    pb::AnswerCommandResponse {
        outcome: outcome.into(),
        message_id,
    }
}
