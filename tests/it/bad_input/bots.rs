//! Bots.

use bitrix24_gateway::proto::v1 as pb;
use tonic::Code;

use super::{long, refused_for, refused_with, scene};
use crate::scene::helper;

#[tokio::test(start_paused = true)]
async fn register_bot_tells_every_broken_rule() {
    let (mut scene, calls) = scene().await;
    let properties = |properties: pb::BotProperties| pb::RegisterBotRequest {
        properties: Some(properties),
        ..helper()
    };
    let named = || pb::BotProperties {
        name: Some("Helper".to_owned()),
        ..pb::BotProperties::default()
    };
    let adopt = |bot_token: &str| pb::RegisterBotRequest {
        adopt: Some(pb::BotAdoption {
            bot_token: bot_token.to_owned(),
            ..pb::BotAdoption::default()
        }),
        ..helper()
    };
    let rows: Vec<(&str, pb::RegisterBotRequest, &[&str])> = vec![
        (
            "no code",
            pb::RegisterBotRequest {
                bot_code: String::new(),
                ..helper()
            },
            &["bot_code"],
        ),
        (
            "space in the code",
            pb::RegisterBotRequest {
                bot_code: "my bot".to_owned(),
                ..helper()
            },
            &["bot_code"],
        ),
        (
            "code of 65",
            pb::RegisterBotRequest {
                bot_code: "a".repeat(65),
                ..helper()
            },
            &["bot_code"],
        ),
        (
            "code not ASCII",
            pb::RegisterBotRequest {
                bot_code: "bär".to_owned(),
                ..helper()
            },
            &["bot_code"],
        ),
        (
            "portal in upper case",
            pb::RegisterBotRequest {
                portal: "ACME".to_owned(),
                ..helper()
            },
            &["portal"],
        ),
        (
            "portal of 65",
            pb::RegisterBotRequest {
                portal: "a".repeat(65),
                ..helper()
            },
            &["portal"],
        ),
        (
            "no properties",
            pb::RegisterBotRequest {
                properties: None,
                ..helper()
            },
            &["properties.name"],
        ),
        (
            "no name",
            properties(pb::BotProperties::default()),
            &["properties.name"],
        ),
        (
            "blank name",
            properties(pb::BotProperties {
                name: Some(" \t".to_owned()),
                ..named()
            }),
            &["properties.name"],
        ),
        (
            "name of 256",
            properties(pb::BotProperties {
                name: Some(long(256)),
                ..named()
            }),
            &["properties.name"],
        ),
        (
            "last name and position of 256",
            properties(pb::BotProperties {
                last_name: Some(long(256)),
                work_position: Some(long(256)),
                ..named()
            }),
            &["properties.last_name", "properties.work_position"],
        ),
        (
            "empty avatar",
            properties(pb::BotProperties {
                avatar: Some(Vec::new()),
                ..named()
            }),
            &["properties.avatar"],
        ),
        (
            "avatar of more than 2 MiB",
            properties(pb::BotProperties {
                avatar: Some(vec![0; (2 << 20) + 1]),
                ..named()
            }),
            &["properties.avatar"],
        ),
        (
            "unknown colour and gender",
            properties(pb::BotProperties {
                color: 99,
                gender: -1,
                ..named()
            }),
            &["properties.gender", "properties.color"],
        ),
        (
            "unknown type",
            pb::RegisterBotRequest {
                r#type: 77,
                ..helper()
            },
            &["type"],
        ),
        (
            "unknown if_exists",
            pb::RegisterBotRequest {
                if_exists: 3,
                ..helper()
            },
            &["if_exists"],
        ),
        (
            "unknown background",
            pb::RegisterBotRequest {
                background: 11,
                ..helper()
            },
            &["background"],
        ),
        (
            "unknown event mode",
            pb::RegisterBotRequest {
                event_mode: 3,
                ..helper()
            },
            &["event_mode"],
        ),
        ("empty token", adopt(""), &["adopt.bot_token"]),
        ("token of 41", adopt(&"t".repeat(41)), &["adopt.bot_token"]),
        (
            "token behind a space",
            adopt(" token"),
            &["adopt.bot_token"],
        ),
        (
            "token before a line end",
            adopt("token\n"),
            &["adopt.bot_token"],
        ),
        (
            "start at an event without saying so",
            pb::RegisterBotRequest {
                adopt: Some(pb::BotAdoption {
                    bot_token: "token".to_owned(),
                    after_portal_event_id: 5,
                    ..pb::BotAdoption::default()
                }),
                ..helper()
            },
            &["adopt.after_portal_event_id"],
        ),
        (
            "unknown start after a negative event",
            pb::RegisterBotRequest {
                adopt: Some(pb::BotAdoption {
                    bot_token: "token".to_owned(),
                    start: 9,
                    after_portal_event_id: -1,
                    rotate_token: false,
                }),
                ..helper()
            },
            &[
                "adopt.after_portal_event_id",
                "adopt.start",
                "adopt.after_portal_event_id",
            ],
        ),
        (
            "everything at once",
            pb::RegisterBotRequest {
                portal: "no portal".to_owned(),
                bot_code: "no code".to_owned(),
                properties: None,
                r#type: 77,
                if_exists: 77,
                background: 77,
                event_mode: 77,
                adopt: Some(pb::BotAdoption::default()),
                ..pb::RegisterBotRequest::default()
            },
            &[
                "portal",
                "bot_code",
                "properties.name",
                "type",
                "if_exists",
                "adopt.bot_token",
                "background",
                "event_mode",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.register_bot(request).await), fields);
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn longest_names_are_counted_in_characters_and_taken() {
    let (mut scene, _) = scene().await;
    let request = pb::RegisterBotRequest {
        bot_code: "b".repeat(64),
        properties: Some(pb::BotProperties {
            name: Some(long(255)),
            ..pb::BotProperties::default()
        }),
        ..helper()
    };
    scene.bots.register_bot(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn update_bot_tells_every_broken_rule() {
    let (mut scene, calls) = scene().await;
    let base = || pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        is_hidden: Some(true),
        ..pb::UpdateBotRequest::default()
    };
    let rows: Vec<(&str, pb::UpdateBotRequest, &[&str])> = vec![
        (
            "no code",
            pb::UpdateBotRequest {
                bot_code: String::new(),
                ..base()
            },
            &["bot_code"],
        ),
        (
            "nothing to change",
            pb::UpdateBotRequest {
                is_hidden: None,
                ..base()
            },
            &["properties"],
        ),
        (
            "empty name",
            pb::UpdateBotRequest {
                properties: Some(pb::BotProperties {
                    name: Some(String::new()),
                    ..pb::BotProperties::default()
                }),
                ..base()
            },
            &["properties.name"],
        ),
        (
            "portal, code, background, event mode",
            pb::UpdateBotRequest {
                portal: "/".to_owned(),
                bot_code: "/".to_owned(),
                background: 50,
                event_mode: 50,
                ..base()
            },
            &["portal", "bot_code", "background", "event_mode"],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.update_bot(request).await), fields);
    }
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn reading_and_removing_bots_check_their_names() {
    let (mut scene, calls) = scene().await;
    let (portal, bot_code) = ("a b".to_owned(), "a b".to_owned());
    let both = ["portal", "bot_code"];
    let get = pb::GetBotRequest {
        portal: portal.clone(),
        bot_code: bot_code.clone(),
    };
    refused_for(("get", scene.bots.get_bot(get).await), &both);
    let unregister = pb::UnregisterBotRequest {
        portal: portal.clone(),
        bot_code: bot_code.clone(),
    };
    refused_for(
        ("unregister", scene.bots.unregister_bot(unregister).await),
        &both,
    );
    let list = |page_size, page_token: &str| pb::ListBotsRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..pb::ListBotsRequest::default()
    };
    refused_for(
        ("page of -1", scene.bots.list_bots(list(-1, "")).await),
        &["page_size"],
    );
    refused_for(
        ("page of 1001", scene.bots.list_bots(list(1001, "")).await),
        &["page_size"],
    );
    refused_for(
        ("made-up token", scene.bots.list_bots(list(0, "2")).await),
        &["page_token"],
    );
    let all = pb::ListBotsRequest {
        portal,
        ..list(-5, "x")
    };
    refused_for(
        ("all of it", scene.bots.list_bots(all).await),
        &["portal", "page_size", "page_token"],
    );
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn unknown_portals_and_bots_are_not_found() {
    let (mut scene, calls) = scene().await;
    let elsewhere = || "elsewhere".to_owned();
    let bot_code = || "helper".to_owned();
    let get = pb::GetBotRequest {
        portal: elsewhere(),
        bot_code: bot_code(),
    };
    refused_with(
        ("get", scene.bots.get_bot(get).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let register = pb::RegisterBotRequest {
        portal: elsewhere(),
        ..helper()
    };
    refused_with(
        ("register", scene.bots.register_bot(register).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let update = pb::UpdateBotRequest {
        portal: elsewhere(),
        bot_code: bot_code(),
        is_hidden: Some(true),
        ..pb::UpdateBotRequest::default()
    };
    refused_with(
        ("update", scene.bots.update_bot(update).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let unregister = pb::UnregisterBotRequest {
        portal: elsewhere(),
        bot_code: bot_code(),
    };
    refused_with(
        ("unregister", scene.bots.unregister_bot(unregister).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let list = pb::ListBotsRequest {
        portal: elsewhere(),
        ..pb::ListBotsRequest::default()
    };
    refused_with(
        ("list", scene.bots.list_bots(list).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let get = pb::GetBotRequest {
        portal: String::new(),
        bot_code: "nobody".to_owned(),
    };
    refused_with(
        ("bot", scene.bots.get_bot(get).await),
        Code::NotFound,
        "UNKNOWN_BOT",
    );
    assert_eq!(scene.calls().len(), calls);
}
