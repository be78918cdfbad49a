//! Answers: inwards what to say to what, outwards what became of it.

use super::{
    check::Check,
    content::content,
    portal::{Named, named},
};
use crate::{
    bots::{Answer, Answered, IfClosed, Target},
    events::cursor::EventId,
    grpc::{
        caller::Arrival,
        status::{Failure, Refusal},
    },
    ids::{BotCode, DialogId, PortalId},
    proto::v1::{self as pb, answer_command_request},
    store::LogId,
};

pub(in crate::grpc) async fn answer(
    arrival: &mut Arrival<'_>,
    log: LogId,
    request: pb::AnswerCommandRequest,
) -> Result<Answer, Failure> {
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
        Wish::Event(EventId(cursor)) if cursor.log != log => {
            return Err(Refusal::ForeignEvent.into());
        }
        Wish::Event(EventId(cursor)) => {
            let seq = cursor.seq;
            // The event knows its portal; a name is one more thing that must fit.
            let portal = match portal {
                Named::Default => None,
                named @ Named::Portal(_) => Some(match &bot {
                    Some(code) => arrival.bot(named, code)?,
                    None => arrival.portal(named)?,
                }),
            };
            arrival.event(seq, portal.as_ref()).await?;
            Target::Event {
                portal,
                code: bot,
                seq,
            }
        }
        Wish::Command(code, ids, dialog) => Target::Command {
            portal: arrival.bot(portal, &code)?,
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
pub(in crate::grpc) fn scope(arrival: &Arrival<'_>, answer: &Answer) -> PortalId {
    match &answer.target {
        Target::Command { portal, .. }
        | Target::Event {
            portal: Some(portal),
            ..
        } => portal.clone(),
        Target::Event { portal: None, .. } => arrival
            .default_portal()
            .unwrap_or_else(PortalId::default_portal),
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
