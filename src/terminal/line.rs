//! An event in one line, for people.

use jiff::Timestamp;

use super::{Paint, shown};
use crate::proto::v1::{self as pb, event::Body};

/// When, where, by whom and what.
pub(super) fn event(event: &pb::Event, paint: Paint) -> String {
    let at = event.happened_at.or(event.received_at);
    let bot = format!("{}/{}", shown(&event.portal), shown(&event.bot_code));
    let (kind, place, who, what) = event.body.as_ref().map_or_else(Default::default, parts);
    let kind = match kind {
        "" => shown(&event.r#type),
        kind => kind.to_owned(),
    };
    let mut words = vec![paint.dim(&at.map(time).unwrap_or_default()), bot, kind];
    words.extend([place, who].into_iter().filter(|word| !word.is_empty()));
    let mut line = words.join(" ");
    if !what.is_empty() {
        line.push_str(": ");
        line.push_str(&paint.bold(&what));
    }
    line
}

/// What happened, in which dialog, by whom, and in which words.
fn parts(body: &Body) -> (&'static str, String, String, String) {
    match body {
        Body::CommandAdded(it) => {
            let command = it.command.clone().unwrap_or_default();
            let text = format!("/{} {}", command.command, command.params);
            let text = shown(text.trim_end());
            (
                "command",
                place(it.chat.as_ref()),
                who(it.user.as_ref()),
                text,
            )
        }
        Body::MessageAdded(it) => {
            let text = text(it.message.as_ref());
            (
                "message",
                place(it.chat.as_ref()),
                who(it.user.as_ref()),
                text,
            )
        }
        Body::MessageUpdated(it) => {
            let text = text(it.message.as_ref());
            (
                "changed",
                place(it.chat.as_ref()),
                who(it.user.as_ref()),
                text,
            )
        }
        Body::MessageDeleted(it) => {
            let text = format!("message {}", it.message_id);
            (
                "deleted",
                place(it.chat.as_ref()),
                who(it.user.as_ref()),
                text,
            )
        }
        Body::ChatJoined(it) => (
            "joined",
            shown(&it.dialog_id),
            who(it.user.as_ref()),
            it.chat
                .as_ref()
                .map(|chat| shown(&chat.name))
                .unwrap_or_default(),
        ),
        Body::BotDeleted(_) => ("bot-deleted", String::new(), String::new(), String::new()),
        Body::ContextReceived(it) => (
            "context",
            shown(&it.dialog_id),
            who(it.user.as_ref()),
            String::new(),
        ),
        Body::ReactionChanged(it) => {
            let text = format!("{} {}", shown(&it.action), shown(&it.reaction));
            (
                "reaction",
                place(it.chat.as_ref()),
                who(it.user.as_ref()),
                text,
            )
        }
        // Its type says what it is.
        Body::Unknown(_) => Default::default(),
    }
}

fn place(chat: Option<&pb::Chat>) -> String {
    chat.map(|chat| shown(&chat.dialog_id)).unwrap_or_default()
}

fn who(user: Option<&pb::User>) -> String {
    let user = user.filter(|user| user.id != 0);
    user.map(|user| format!("{}({})", shown(&user.name), user.id))
        .unwrap_or_default()
}

fn text(message: Option<&pb::Message>) -> String {
    message
        .map(|message| shown(&message.text))
        .unwrap_or_default()
}

/// A stretch of time whose events may be missing.
pub(super) fn gap(gap: &pb::Gap) -> String {
    let reason = gap.reason().as_str_name();
    let reason = reason.strip_prefix("GAP_REASON_").unwrap_or(reason);
    let of = match gap.bot_code.as_str() {
        "" => shown(&gap.portal),
        code => format!("{}/{}", shown(&gap.portal), shown(code)),
    };
    let mut line = format!("events of {of} may be missing");
    if let Some(from) = gap.from {
        line.push_str(&format!(" from {}", time(from)));
    }
    if let Some(until) = gap.until {
        line.push_str(&format!(" until {}", time(until)));
    }
    format!("{line}: {reason}")
}

/// How a portal is doing.
pub(super) fn portal(health: &pb::PortalHealth) -> String {
    let state = health.state().as_str_name();
    let state = state.strip_prefix("PORTAL_STATE_").unwrap_or(state);
    let mut words = vec![shown(&health.portal), state.to_owned()];
    words.extend(Some(shown(&health.reason)).filter(|reason| !reason.is_empty()));
    words.join(" ")
}

/// A time in UTC, to the second.
pub(super) fn time(at: prost_types::Timestamp) -> String {
    let at = Timestamp::from_second(at.seconds);
    at.map_or_else(|_| "-".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(params: &str) -> pb::Event {
        pb::Event {
            portal: "acme".to_owned(),
            bot_code: "weather".to_owned(),
            r#type: "ONIMBOTV2COMMANDADD".to_owned(),
            happened_at: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 5,
            }),
            body: Some(Body::CommandAdded(pb::CommandAdded {
                command: Some(pb::CalledCommand {
                    command: "weather".to_owned(),
                    params: params.to_owned(),
                    ..pb::CalledCommand::default()
                }),
                chat: Some(pb::Chat {
                    dialog_id: "chat5".to_owned(),
                    ..pb::Chat::default()
                }),
                user: Some(pb::User {
                    id: 12,
                    name: "Anna\u{202e}Weber".to_owned(),
                    ..pb::User::default()
                }),
                ..pb::CommandAdded::default()
            })),
            ..pb::Event::default()
        }
    }

    #[test]
    fn command_is_a_line_that_no_name_can_break() {
        assert_eq!(
            event(&command("Berlin\nMitte"), Paint(false)),
            "2026-09-21T14:13:20Z acme/weather command chat5 Anna\\u{202e}Weber(12): /weather Berlin\\nMitte"
        );
    }

    #[test]
    fn event_of_an_unknown_type_is_told_by_that() {
        let unknown = pb::Event {
            body: Some(Body::Unknown(pb::UnknownBody::default())),
            r#type: "ONIMBOTV2SOMETHING".to_owned(),
            ..command("")
        };
        let line = event(&unknown, Paint(false));
        assert!(line.ends_with("acme/weather ONIMBOTV2SOMETHING"), "{line}");
        let newer = pb::Event {
            body: None,
            ..unknown
        };
        assert_eq!(event(&newer, Paint(false)), line);
    }

    #[test]
    fn gap_tells_whose_when_and_why() {
        let lost = pb::Gap {
            portal: "acme".to_owned(),
            until: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            reason: pb::GapReason::NotPolled.into(),
            ..pb::Gap::default()
        };
        assert_eq!(
            gap(&lost),
            "events of acme may be missing until 2026-09-21T14:13:20Z: NOT_POLLED"
        );
    }
}
