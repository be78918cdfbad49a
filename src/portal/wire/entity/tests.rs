use serde_json::{Value, json};

use super::*;

#[test]
fn an_id_is_enough_and_no_id_is_too_little() {
    let reduced = json!({"id": "7"});
    assert_eq!(User::from_value(&reduced).unwrap().id, 7);
    assert_eq!(Bot::from_value(&reduced).unwrap().id, 7);
    assert_eq!(Chat::from_value(&reduced).unwrap().id, 7);
    assert_eq!(Message::from_value(&reduced).unwrap().id, 7);
    assert_eq!(Command::from_value(&reduced).unwrap().id, 7);
    for nothing in [
        json!([]),
        json!({}),
        json!({"id": "x"}),
        json!(null),
        json!("7"),
        json!([7]),
    ] {
        assert!(User::from_value(&nothing).is_err(), "{nothing}");
        assert!(Bot::from_value(&nothing).is_err(), "{nothing}");
        assert!(Chat::from_value(&nothing).is_err(), "{nothing}");
        assert!(Message::from_value(&nothing).is_err(), "{nothing}");
        assert!(Command::from_value(&nothing).is_err(), "{nothing}");
    }
}

/// Every known field, set to `odd`.
fn all(odd: &Value) -> Value {
    let names = "active name firstName lastName workPosition color avatar gender birthday extranet bot \
        connector externalAuthId status idle lastActivityDate mobileLastDate desktopLastDate absent \
        departments phones type website email code isHidden isSupportOpenline isReactionsEnabled \
        backgroundId language moduleId eventMode countMessage dialogId description messageType owner \
        role muteList entityType entityId entityData1 entityLink permissions diskFolderId parentChatId \
        textFieldEnabled dateCreate lastId managerList messageCount lastMessageViews public chatId \
        authorId date text isSystem viewedByOthers uuid forward params unread viewed botId command \
        common hidden extranetSupport title category context somethingNew";
    let mut value = json!({"id": 7});
    for name in names.split_whitespace() {
        value[name] = odd.clone();
    }
    value
}

#[test]
fn no_odd_field_costs_the_whole() {
    for odd in [
        json!(null),
        json!(false),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!("0"),
        json!("x"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"0": {"a": []}}),
    ] {
        let value = all(&odd);
        assert_eq!(User::from_value(&value).unwrap().id, 7);
        assert_eq!(Bot::from_value(&value).unwrap().id, 7);
        assert_eq!(Chat::from_value(&value).unwrap().id, 7);
        assert_eq!(Message::from_value(&value).unwrap().id, 7);
        assert_eq!(Command::from_value(&value).unwrap().id, 7);
    }
}

#[test]
fn zero_and_null_point_at_nothing() {
    for none in [json!(0), json!("0"), json!(null), json!("")] {
        let chat =
            json!({"id": 5, "parentChatId": none, "parentMessageId": none, "diskFolderId": none});
        let chat = Chat::from_value(&chat).unwrap();
        assert_eq!(
            (
                chat.parent_chat_id,
                chat.parent_message_id,
                chat.disk_folder_id
            ),
            (None, None, None)
        );
    }
}

#[test]
fn a_full_chat_keeps_what_it_says() {
    let chat = Chat::from_value(&json!({
        "id": 5, "dialogId": "chat5", "name": "N", "description": "D", "type": "openChannel",
        "messageType": "O", "owner": "1", "color": null, "avatar": "https://a/b.png", "extranet": "Y",
        "containsCollaber": false, "isNew": true, "role": "guest", "muteList": {"0": "3"},
        "entityType": "LINES", "entityId": 12, "entityLink": [], "permissions": {"manageUsers": "all"},
        "textFieldEnabled": "N", "dateCreate": "2025-01-15T10:30:00+02:00", "lastMessageId": 9,
        "managerList": [1, "2"], "userCounter": "4", "public": {"code": "x"}, "lastMessageViews": "{}",
    }))
    .unwrap();
    assert_eq!(
        (chat.owner, chat.color, chat.extranet),
        (Some(1), None, Some(true))
    );
    assert_eq!(chat.mute_list, [3]);
    assert_eq!(chat.entity_id.as_deref(), Some("12"));
    assert!(chat.entity_link.is_empty());
    assert_eq!(chat.permissions["manageUsers"], "all");
    assert_eq!(chat.text_field_enabled, Some(false));
    assert_eq!(chat.date_create, "2025-01-15T08:30:00Z".parse().ok());
    assert_eq!(chat.manager_list, [1, 2]);
    assert_eq!(
        (chat.user_counter, chat.last_message_id),
        (Some(4), Some(9))
    );
    assert_eq!(chat.public, Some(json!({"code": "x"})));
    assert_eq!(
        Chat::from_value(&json!({"id": 5, "public": ""}))
            .unwrap()
            .public,
        None
    );
}

#[test]
fn both_shapes_of_a_forward_name_the_original() {
    let forward = |value: Value| {
        Message::from_value(&json!({"id": 1, "forward": value}))
            .unwrap()
            .forward
    };
    let documented = forward(
        json!({"id": 345, "userId": "2", "chatId": 12, "date": "2025-01-15T10:30:00+02:00"}),
    );
    let documented = documented.unwrap();
    assert_eq!(
        (documented.chat_id, documented.message_id),
        (Some(12), Some(345))
    );
    assert!(documented.date.is_some());
    let seen =
        forward(json!({"id": "chat12/345", "userId": 2, "chatTitle": "T", "chatType": "open"}))
            .unwrap();
    assert_eq!(
        (seen.chat_id, seen.message_id, seen.user_id),
        (Some(12), Some(345), Some(2))
    );
    assert_eq!(seen.chat_title.as_deref(), Some("T"));
    let private = forward(json!({"id": "7/345"})).unwrap();
    assert_eq!((private.chat_id, private.message_id), (None, Some(345)));
    assert_eq!(private.id.as_deref(), Some("7/345"));
    for none in [json!(null), json!([]), json!(""), json!({}), json!(false)] {
        assert_eq!(forward(none), None);
    }
}

#[test]
fn a_message_may_use_the_names_of_the_database() {
    let message = Message::from_value(&json!({"id": 1, "chat_id": "5", "author_id": 0})).unwrap();
    assert_eq!((message.chat_id, message.author_id), (Some(5), Some(0)));
}

#[test]
fn phones_are_a_map_or_nothing() {
    let phones = |value: Value| {
        User::from_value(&json!({"id": 1, "phones": value}))
            .unwrap()
            .phones
    };
    assert_eq!(phones(json!({"workPhone": "1"}))["workPhone"], "1");
    for none in [json!(false), json!("0"), json!(""), json!(null), json!([])] {
        assert!(phones(none).is_empty());
    }
}
