//! Answers: inwards what to say to what, outwards what became of it.

use super::{
    check::Check,
    content::content,
    portal::{Named, named},
};
use crate::{
    bots::{Answer, Answered, IfClosed, Target},
    events::{
        self,
        cursor::EventId,
        subscriptions::{AckId, Held},
    },
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
) -> Result<(Answer, Option<Held>), Failure> {
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
            let rule = "one of `event_id`, `ack_id` and `invocation` is needed";
            check.broken("event_id", rule);
            None
        }
        Some(Wished::AckId(text)) => check.parsed("ack_id", &text).map(Wish::Delivery),
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
    let progress = request.r#final == Some(false);
    if progress && by_ids {
        check.broken("final", "must not be false without an event");
    }
    let (portal, target) = check.done(portal.zip(target))?;
    let target = match target {
        Wish::Command(code, ids, dialog) => {
            let target = Target::Command {
                portal: arrival.bot(portal, &code)?,
                code,
                command_id: ids.command_id,
                message_id: ids.message_id,
                dialog,
            };
            let answer = Answer {
                target,
                content,
                if_closed,
                progress: false,
                done_in: Vec::new(),
            };
            return Ok((answer, None));
        }
        Wish::Event(EventId(cursor)) if cursor.log != log => {
            return Err(Refusal::ForeignEvent.into());
        }
        Wish::Event(EventId(cursor)) => Asked::Event(cursor.seq),
        Wish::Delivery(ack) => Asked::Delivery(ack),
    };
    // The event knows its portal; a name is one more thing that must fit.
    let portal = match portal {
        Named::Default => None,
        named @ Named::Portal(_) => Some(match &bot {
            Some(code) => arrival.bot(named, code)?,
            None => arrival.portal(named)?,
        }),
    };
    let subscriptions = arrival.parts.events.subscriptions().clone();
    let owner = arrival.caller.name().to_owned();
    // What is not of this caller is found out before anything is held.
    let (seq, held) = match target {
        Asked::Event(seq) => {
            arrival.event(seq, portal.as_ref()).await?;
            (seq, subscriptions.hold_event(&owner, seq).await)
        }
        Asked::Delivery(ack) => {
            let held = subscriptions.hold(&owner, &ack).await?;
            arrival.event(ack.seq, portal.as_ref()).await?;
            if progress && !held.is_current {
                return Err(events::Error::AckIdExpired.into());
            }
            (ack.seq, held)
        }
    };
    let done_in = match progress {
        true => Vec::new(),
        false => held.subscriptions(),
    };
    let target = Target::Event {
        portal,
        code: bot,
        seq,
    };
    let answer = Answer {
        target,
        content,
        if_closed,
        progress,
        done_in,
    };
    Ok((answer, Some(held)))
}

/// Which event is answered.
enum Asked {
    Event(u64),
    Delivery(AckId),
}

/// What is answered, as far as it can be judged by itself.
enum Wish {
    Event(EventId),
    Delivery(AckId),
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

/// What became of an answer, or of progress, which does not settle the event.
pub(in crate::grpc) fn answered(answered: Answered, settles: bool) -> pb::AnswerCommandResponse {
    use pb::AnswerOutcome as Outcome;
    let (outcome, message_id) = match answered {
        Answered::Posted if !settles => (Outcome::Progress, None),
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
