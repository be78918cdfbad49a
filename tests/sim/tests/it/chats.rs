//! Chats, reading and reactions of bots (C20.4 to C20.6, C21, C22).

use serde_json::{Value, json};

use crate::world::{Answer, World};

/// A bot with a chat of its own, in which Anna is too.
struct Room {
    world: World,
    bot: i64,
    dialog: String,
}

impl Room {
    async fn new() -> Self {
        let world = World::new().await;
        let bot = world.bot_of("a", "supervisor").await;
        let fields = json!({"title": "Room", "description": "key-1", "color": "mint",
            "userIds": [world.anna, 999], "message": "Welcome"});
        let made = world
            .of_bot("imbot.v2.Chat.add", bot, json!({"fields": fields}))
            .await;
        let chat = &made.result()["chat"];
        assert_eq!(
            (&chat["owner"], &chat["color"]),
            (&json!(bot), &json!("#4ba984"))
        );
        assert_eq!(
            (&chat["role"], &chat["userCounter"]),
            (&json!("owner"), &json!(2))
        );
        let dialog = chat["dialogId"].as_str().unwrap().to_owned();
        Self { world, bot, dialog }
    }

    async fn call(&self, method: &str, mut more: Value) -> Answer {
        more["dialogId"] = self.dialog.as_str().into();
        self.world
            .of_bot(&format!("imbot.v2.Chat.{method}"), self.bot, more)
            .await
    }

    async fn people(&self, more: Value) -> Vec<i64> {
        let answer = self.call("User.list", more).await;
        let list = answer.result().as_array().unwrap();
        list.iter()
            .map(|user| user["id"].as_i64().unwrap())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_chat_is_told_to_its_bot_with_its_description() {
    let room = Room::new().await;
    let (kind, data) = room.world.events(room.bot).await.remove(0);
    assert_eq!(
        (kind.as_str(), &data["chat"]["description"]),
        ("ONIMBOTV2JOINCHAT", &json!("key-1"))
    );
    assert_eq!(room.world.portal.messages(&room.dialog)[0].text, "Welcome");
    let wrong = json!({"fields": {"title": "x", "color": "ultraviolet"}});
    let wrong = room
        .world
        .of_bot("imbot.v2.Chat.add", room.bot, wrong)
        .await;
    assert_eq!(wrong.error(), "WRONG_COLOR");
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_shown_and_changed_by_members_only() {
    let room = Room::new().await;
    let fields = json!({"fields": {"title": "New", "description": "", "color": "red"}});
    room.call("update", fields).await.result();
    room.call("TextField.enabled", json!({"enabled": false}))
        .await
        .result();
    let shown = room.call("get", json!({})).await;
    let chat = &shown.result()["chat"];
    assert_eq!(
        (&chat["name"], &chat["color"]),
        (&json!("New"), &json!("#df532d"))
    );
    assert_eq!(
        (&chat["textFieldEnabled"], &chat["messageCount"]),
        (&json!("N"), &json!(1))
    );
    room.call("leave", json!({})).await.result();
    for method in ["get", "update", "leave", "User.list", "TextField.enabled"] {
        let answer = room.call(method, json!({"fields": {"title": "x"}})).await;
        assert_eq!(answer.error(), "ACCESS_DENIED", "{method}");
    }
    let private = json!({"dialogId": room.world.anna.to_string(), "fields": {"title": "x"}});
    let answer = room
        .world
        .of_bot("imbot.v2.Chat.update", room.bot, private)
        .await;
    assert_eq!(answer.error(), "WRONG_CHAT_TYPE");
}

#[tokio::test(start_paused = true)]
async fn people_come_and_go_and_unknown_ones_are_passed_over() {
    let room = Room::new().await;
    let anna = room.world.anna;
    room.call("User.add", json!({"userIds": [1, 999, anna]}))
        .await
        .result();
    assert_eq!(room.people(json!({})).await, [1, anna, room.bot]);
    assert_eq!(
        room.people(json!({"limit": 2, "order": {"id": "DESC"}}))
            .await,
        [room.bot, anna]
    );
    assert_eq!(room.people(json!({"limit": 0})).await.len(), 3);
    for _ in 0..2 {
        room.call("User.delete", json!({"userId": 1}))
            .await
            .result();
    }
    assert_eq!(
        room.people(json!({"order": {"lastSendMessageId": "DESC"}}))
            .await,
        [room.bot, anna]
    );
}

#[tokio::test(start_paused = true)]
async fn only_an_owner_hands_out_rights() {
    let room = Room::new().await;
    let anna = room.world.anna;
    assert_eq!(
        room.call("Manager.add", json!({"userIds": []}))
            .await
            .error(),
        "EMPTY_USER_IDS"
    );
    room.call("Manager.add", json!({"userIds": [anna, 999]}))
        .await
        .result();
    assert_eq!(
        room.call("get", json!({})).await.result()["chat"]["managerList"],
        json!([anna])
    );
    room.call("Manager.delete", json!({"userIds": [anna]}))
        .await
        .result();
    assert_eq!(
        room.call("setOwner", json!({"userId": 999})).await.error(),
        "ACCESS_DENIED"
    );
    room.call("setOwner", json!({"userId": anna}))
        .await
        .result();
    for (method, more) in [
        ("setOwner", json!({"userId": anna})),
        ("Manager.add", json!({"userIds": [anna]})),
        ("User.add", json!({"userIds": [1]})),
        ("User.delete", json!({"userId": anna})),
    ] {
        assert_eq!(
            room.call(method, more).await.error(),
            "ACCESS_DENIED",
            "{method}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reading_counts_what_is_left() {
    let room = Room::new().await;
    let anna = room.world.portal.user(room.world.anna);
    let ids: Vec<i64> = (0..3)
        .map(|n| anna.types(&room.dialog, &n.to_string()).unwrap())
        .collect();
    let read = room
        .call("Message.read", json!({"messageId": ids[1]}))
        .await;
    let expected = json!({"chatId": read.result()["chatId"], "lastId": ids[1], "counter": 1,
        "viewedMessages": [ids[0], ids[1]]});
    assert_eq!(*read.result(), expected);
    let rest = room.call("Message.read", json!({})).await;
    assert_eq!(
        (&rest.result()["counter"], &rest.result()["viewedMessages"]),
        (&json!(0), &json!([ids[2]]))
    );
    let wrong = room.call("Message.read", json!({"messageId": 5})).await;
    assert_eq!(wrong.error(), "MESSAGE_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_message_and_its_surroundings_are_shown_to_some_bots() {
    let room = Room::new().await;
    let anna = room.world.portal.user(room.world.anna);
    let ids: Vec<i64> = (0..5)
        .map(|n| anna.types(&room.dialog, &n.to_string()).unwrap())
        .collect();
    let got = room.call("Message.get", json!({"messageId": ids[0]})).await;
    assert_eq!(got.result()["message"]["text"], "0");
    assert_eq!(got.result()["message"]["unread"], true);
    assert_eq!(got.result()["user"]["id"], room.world.anna);
    let around = room
        .call(
            "Message.getContext",
            json!({"messageId": ids[2], "range": 1}),
        )
        .await;
    let texts: Vec<&Value> = around.result()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["text"])
        .collect();
    assert_eq!(texts, ["1", "2", "3"]);
    assert_eq!(
        (
            &around.result()["hasPrevPage"],
            &around.result()["hasNextPage"]
        ),
        (&json!(true), &json!(true))
    );
    let all = room
        .call("Message.getContext", json!({"messageId": ids[2]}))
        .await;
    assert_eq!(
        (&all.result()["hasPrevPage"], &all.result()["hasNextPage"]),
        (&json!(false), &json!(false))
    );

    let secret = room
        .world
        .portal
        .user(1)
        .types(&room.world.dialog(), "x")
        .unwrap();
    let foreign = room.call("Message.get", json!({"messageId": secret})).await;
    assert_eq!(foreign.error(), "MESSAGE_ACCESS_DENIED");
    let plain = room.world.bot("plain").await;
    let more = json!({"messageId": ids[0]});
    let refused = room
        .world
        .of_bot("imbot.v2.Chat.Message.get", plain, more)
        .await;
    assert_eq!(refused.error(), "BOT_TYPE_NOT_ALLOWED");
}

#[tokio::test(start_paused = true)]
async fn a_bot_has_one_reaction_to_a_message() {
    let room = Room::new().await;
    let id = room
        .world
        .portal
        .user(room.world.anna)
        .types(&room.dialog, "x")
        .unwrap();
    let react = async |method: &str, reaction: &str| {
        let more = json!({"messageId": id, "reaction": reaction});
        room.call(&format!("Message.Reaction.{method}"), more).await
    };
    let set = || room.world.portal.message(id).unwrap().reactions;
    for reaction in ["like", "fire", "fire"] {
        react("add", reaction).await.result();
        assert_eq!(set(), [(room.bot, reaction.to_owned())]);
    }
    room.world
        .portal
        .set_quirks(|quirks| quirks.repeated_reaction_is_refused = true);
    assert_eq!(react("add", "fire").await.error(), "REACTION_ALREADY_SET");
    assert_eq!(react("add", "rocket").await.error(), "REACTION_NOT_FOUND");
    react("delete", "fire").await.result();
    assert_eq!(react("delete", "fire").await.error(), "REACTION_NOT_FOUND");
    assert!(set().is_empty());
}
