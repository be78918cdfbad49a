use serde_json::json;

use super::*;

fn page(result: Value) -> EventPage {
    EventPage::from_result(result).unwrap()
}

#[test]
fn the_offset_never_passes_what_was_received() {
    let event = |id: Value| json!({"eventId": id, "type": "ONIMBOTV2DELETE"});
    let next = |ids: &[Value], reported: Value| {
        let events: Vec<Value> = ids.iter().cloned().map(event).collect();
        page(json!({"events": events, "nextOffset": reported})).next_offset
    };
    let ids = [json!(5), json!("9"), json!(7)];
    assert_eq!(next(&ids, json!(10)), Some(10));
    assert_eq!(next(&ids, json!("10")), Some(10));
    assert_eq!(next(&ids, json!(null)), Some(10), "absent");
    assert_eq!(next(&ids, json!(0)), Some(10), "zero");
    assert_eq!(
        next(&ids, json!(1_000_000)),
        Some(10),
        "too large would lose events"
    );
    assert_eq!(next(&ids, json!(8)), Some(8), "smaller only repeats");
    assert_eq!(
        next(&ids, json!(5)),
        Some(10),
        "no progress would repeat for ever"
    );
    assert_eq!(
        next(&[], json!(1002)),
        None,
        "nothing received, nothing acknowledged"
    );
    assert_eq!(next(&[json!([])], json!(12)), Some(12), "no id to go by");
    assert_eq!(next(&[json!([])], json!(null)), None);
    assert_eq!(next(&[json!(i64::MAX)], json!(null)), Some(i64::MAX));
}

#[test]
fn one_malformed_event_does_not_stop_the_others() {
    let page = page(json!({
        "events": [
            "nonsense",
            {"eventId": 1},
            {"eventId": 2, "type": "ONIMBOTV2COMMANDADD", "data": {"command": []}},
            {"eventId": "3", "type": "ONIMBOTV2MESSAGEADD", "data": []},
            {"eventId": 4, "type": "ONSOMETHINGNEW", "data": {"x": 1, "AUTH": {"access_token": "s"}}},
            null,
        ],
        "hasMore": "1",
    }));
    assert_eq!(page.next_offset, Some(5));
    assert!(page.has_more);
    let read: Vec<_> = page.events.iter().map(RawEvent::read).collect();
    let readable: Vec<bool> = read.iter().map(Result::is_ok).collect();
    assert_eq!(readable, [false, false, false, true, true, false]);
    let error = read[2].as_ref().unwrap_err().to_string();
    assert_eq!(
        error,
        "`data.command.command` should be a text but is absent"
    );
    let unknown = read[4].as_ref().unwrap();
    assert_eq!(unknown.kind.as_str(), "ONSOMETHINGNEW");
    assert_eq!(unknown.body, Body::Other(json!({"x": 1})));
}

#[test]
fn a_page_may_be_a_map_or_nothing() {
    let events = json!({"1": {"eventId": 8, "type": "A"}, "0": {"eventId": 7, "type": "B"}});
    let ids: Vec<_> = page(json!({"events": events}))
        .events
        .iter()
        .map(|it| it.event_id)
        .collect();
    assert_eq!(ids, [Some(7), Some(8)]);
    for empty in [json!([]), json!({"events": null}), json!({"events": {}})] {
        assert!(page(empty).events.is_empty());
    }
    for odd in [json!(true), json!({}), json!({"events": "x"})] {
        assert!(EventPage::from_result(odd).is_err());
    }
}

#[test]
fn auth_is_removed_at_any_depth_and_in_any_case() {
    let mut value =
        json!({"auth": 1, "a": [{"Auth": {"x": 1}, "b": {"AUTH": []}}], "author": "kept"});
    strip_auth(&mut value);
    assert_eq!(value, json!({"a": [{"b": {}}], "author": "kept"}));
}

fn item(kind: &str, data: Value) -> Event {
    Event::from_item(&json!({"eventId": 1, "type": kind, "data": data})).unwrap()
}

#[test]
fn a_deletion_names_the_message_in_one_of_two_ways() {
    for data in [json!({"messageId": "7"}), json!({"message": {"id": 7}})] {
        let Body::MessageDelete { message_id, .. } = item("ONIMBOTV2MESSAGEDELETE", data).body
        else {
            panic!("a deletion");
        };
        assert_eq!(message_id, Some(7));
    }
}

#[test]
fn a_reaction_says_what_was_done_to_which_message() {
    let data = json!({"reaction": "like", "action": "delete", "message": {"id": 3}, "chat": [], "user": {"id": 2}});
    let Body::ReactionChange {
        reaction,
        action,
        message,
        chat,
        user,
    } = item("ONIMBOTV2REACTIONCHANGE", data).body
    else {
        panic!("a reaction");
    };
    assert_eq!(
        (reaction.as_deref(), action.as_deref()),
        (Some("like"), Some("delete"))
    );
    assert_eq!((message.unwrap().id, chat, user.unwrap().id), (3, None, 2));
}

#[test]
fn a_context_is_kept_as_it_came() {
    let data = json!({"dialogId": 5, "context": {"page": ["deal", 7]}});
    let Body::ContextGet {
        dialog_id, context, ..
    } = item("ONIMBOTV2CONTEXTGET", data).body
    else {
        panic!("a context");
    };
    assert_eq!(dialog_id.as_deref(), Some("5"));
    assert_eq!(context, json!({"page": ["deal", 7]}));
}

#[test]
fn a_removed_bot_is_named_and_nothing_else_is_needed() {
    let body = json!({"event": "onimbotv2delete", "data": {"bot": {"id": "9"}}});
    let event = PostedEvent::from_body(body).unwrap().raw.read().unwrap();
    assert_eq!((&event.kind, &event.body), (&Kind::Delete, &Body::Delete));
    assert_eq!(event.bot.unwrap().id, 9);
    assert_eq!((event.language, event.date), (None, None));
}

#[test]
fn a_button_press_has_no_parameters_and_a_built_in_command_no_number() {
    let data = json!({"command": {"id": "def0", "command": "/help", "context": "keyboard"}});
    let Body::CommandAdd {
        command,
        message,
        chat,
        user,
    } = item("ONIMBOTV2COMMANDADD", data).body
    else {
        panic!("a command");
    };
    assert_eq!((command.id, command.params.as_str()), (None, ""));
    assert_eq!((message, chat, user), (None, None, None));
}

#[test]
fn events_of_users_are_kept_whole() {
    let event = item(
        "ONIMV2JOINCHAT",
        json!({"dialogId": "chat5", "language": "en"}),
    );
    assert_eq!(event.kind, Kind::Other("ONIMV2JOINCHAT".into()));
    assert_eq!(event.bot, None);
    assert_eq!(
        event.body,
        Body::Other(json!({"dialogId": "chat5", "language": "en"}))
    );
}
