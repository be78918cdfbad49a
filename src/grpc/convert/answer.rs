//! Answers: inwards what to say to what, outwards what became of it.

use super::{check::Check, content::content, portal::named};
use crate::{
    bots::{Answer, Answered, IfClosed, Target},
    events::cursor::EventId,
    grpc::status::Refusal,
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
    let mut foreign = false;
    let target = match request.target {
        None => {
            check.broken("event_id", "either `event_id` or `invocation` is needed");
            None
        }
        Some(Wished::EventId(text)) => {
            let event: Option<EventId> = check.parsed("event_id", &text);
            event.map(|EventId(cursor)| {
                foreign = cursor.log != log;
                Target::Event(cursor.seq)
            })
        }
        Some(Wished::Invocation(ids)) => {
            check.id("invocation.command_id", ids.command_id);
            check.id("invocation.message_id", ids.message_id);
            let dialog = check.parsed("invocation.dialog_id", &ids.dialog_id);
            bot.clone()
                .zip(dialog)
                .map(|(code, dialog)| Target::Command {
                    code,
                    command_id: ids.command_id,
                    message_id: ids.message_id,
                    dialog,
                })
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
    if foreign {
        return Err(Refusal::ForeignEvent);
    }
    Ok(Answer {
        portal: portal.find(portals)?,
        bot,
        target,
        content,
        if_closed,
    })
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
