//! Slash commands and what calls them.

use std::collections::HashMap;

use bitrix24_gateway::proto::v1::{self as pb, unregister_command_request, update_command_request};
use tonic::Code;

use super::{long, refused_for, refused_with, scene};
use crate::scene::help;

fn texts(texts: &[(&str, &str)]) -> HashMap<String, String> {
    texts
        .iter()
        .map(|(language, text)| ((*language).to_owned(), (*text).to_owned()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn register_command_tells_every_broken_rule() {
    let (mut scene, calls) = scene().await;
    let command = |command: &str| pb::RegisterCommandRequest {
        command: command.to_owned(),
        ..help()
    };
    let title = |title: &[(&str, &str)]| pb::RegisterCommandRequest {
        title: texts(title),
        ..help()
    };
    let params = |params: &[(&str, &str)]| pb::RegisterCommandRequest {
        params: texts(params),
        ..help()
    };
    let rows: Vec<(&str, pb::RegisterCommandRequest, &[&str])> = vec![
        ("no name", command(""), &["command"]),
        ("slash", command("/help"), &["command"]),
        ("space", command("he lp"), &["command"]),
        ("name of 101", command(&long(101)), &["command"]),
        ("no title", title(&[]), &["title"]),
        (
            "language in upper case",
            title(&[("EN", "Help")]),
            &["title[EN]"],
        ),
        (
            "language of three letters",
            title(&[("en", "Help"), ("eng", "Help")]),
            &["title[eng]"],
        ),
        (
            "no language",
            title(&[("en", "Help"), ("", "Help")]),
            &["title[]"],
        ),
        ("empty title", title(&[("en", "")]), &["title[en]"]),
        ("blank title", title(&[("en", "  ")]), &["title[en]"]),
        (
            "title of 20,001",
            title(&[("en", &long(20_001))]),
            &["title[en]"],
        ),
        (
            "hint without title",
            params(&[("de", "Anfrage")]),
            &["params[de]"],
        ),
        ("empty hint", params(&[("en", "")]), &["params[en]"]),
        (
            "unknown if_exists",
            pb::RegisterCommandRequest {
                if_exists: -1,
                ..help()
            },
            &["if_exists"],
        ),
        (
            "everything at once",
            pb::RegisterCommandRequest {
                portal: "/".to_owned(),
                bot_code: "/".to_owned(),
                command: "/".to_owned(),
                title: HashMap::new(),
                params: texts(&[("xx", ""), ("de", "x")]),
                if_exists: 9,
                ..pb::RegisterCommandRequest::default()
            },
            &[
                "portal",
                "bot_code",
                "command",
                "params[xx]",
                "params[de]",
                "params[xx]",
                "title",
                "if_exists",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.register_command(request).await), fields);
    }
    let elsewhere = pb::RegisterCommandRequest {
        portal: "elsewhere".to_owned(),
        ..help()
    };
    refused_with(
        ("portal", scene.bots.register_command(elsewhere).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let nobody = pb::RegisterCommandRequest {
        bot_code: "nobody".to_owned(),
        ..help()
    };
    refused_with(
        ("bot", scene.bots.register_command(nobody).await),
        Code::NotFound,
        "UNKNOWN_BOT",
    );
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn hidden_command_needs_no_title() {
    let (mut scene, _) = scene().await;
    let request = pb::RegisterCommandRequest {
        command: "secret".to_owned(),
        title: HashMap::new(),
        hidden: Some(true),
        ..help()
    };
    scene.bots.register_command(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn update_command_tells_every_broken_rule() {
    use update_command_request::Target;
    let (mut scene, calls) = scene().await;
    let base = || pb::UpdateCommandRequest {
        bot_code: "helper".to_owned(),
        target: Some(Target::Command("help".to_owned())),
        hidden: Some(true),
        ..pb::UpdateCommandRequest::default()
    };
    let rows: Vec<(&str, pb::UpdateCommandRequest, &[&str])> = vec![
        (
            "no target",
            pb::UpdateCommandRequest {
                target: None,
                ..base()
            },
            &["command"],
        ),
        (
            "empty name",
            pb::UpdateCommandRequest {
                target: Some(Target::Command(String::new())),
                ..base()
            },
            &["command"],
        ),
        (
            "id 0",
            pb::UpdateCommandRequest {
                target: Some(Target::CommandId(0)),
                ..base()
            },
            &["command_id"],
        ),
        (
            "id -4",
            pb::UpdateCommandRequest {
                target: Some(Target::CommandId(-4)),
                ..base()
            },
            &["command_id"],
        ),
        (
            "nothing to change",
            pb::UpdateCommandRequest {
                hidden: None,
                ..base()
            },
            &["new_command"],
        ),
        (
            "new name with a slash",
            pb::UpdateCommandRequest {
                new_command: Some("/x".to_owned()),
                ..base()
            },
            &["new_command"],
        ),
        (
            "hint without title in the same call",
            pb::UpdateCommandRequest {
                params: texts(&[("en", "query")]),
                ..base()
            },
            &["params[en]"],
        ),
        (
            "hint for a title that goes",
            pb::UpdateCommandRequest {
                remove_title_languages: vec!["de".to_owned()],
                params: texts(&[("de", "Anfrage")]),
                ..base()
            },
            &["params[de]"],
        ),
        (
            "title set and removed",
            pb::UpdateCommandRequest {
                title: texts(&[("de", "Hilfe")]),
                remove_title_languages: vec!["en".to_owned(), "de".to_owned()],
                ..base()
            },
            &["remove_title_languages[1]"],
        ),
        (
            "removed language of wrong form",
            pb::UpdateCommandRequest {
                remove_title_languages: vec!["En".to_owned()],
                ..base()
            },
            &["remove_title_languages[0]"],
        ),
        (
            "everything at once",
            pb::UpdateCommandRequest {
                portal: "/".to_owned(),
                bot_code: String::new(),
                target: None,
                new_command: Some(String::new()),
                title: texts(&[("x", "y")]),
                remove_title_languages: vec![String::new()],
                ..base()
            },
            &[
                "portal",
                "bot_code",
                "command",
                "new_command",
                "title[x]",
                "remove_title_languages[0]",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.update_command(request).await), fields);
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn list_and_unregister_commands_tell_every_broken_rule() {
    use unregister_command_request::Target;
    let (mut scene, calls) = scene().await;
    let list = pb::ListCommandsRequest {
        portal: "/".to_owned(),
        bot_code: "/".to_owned(),
        page_size: 1001,
        page_token: "-".to_owned(),
    };
    let all = ["portal", "bot_code", "page_size", "page_token"];
    refused_for(("list", scene.bots.list_commands(list).await), &all);
    let remove = |target| pb::UnregisterCommandRequest {
        bot_code: "helper".to_owned(),
        target,
        ..pb::UnregisterCommandRequest::default()
    };
    let nothing = scene.bots.unregister_command(remove(None)).await;
    refused_for(("no target", nothing), &["command"]);
    let zero = scene
        .bots
        .unregister_command(remove(Some(Target::CommandId(0))))
        .await;
    refused_for(("id 0", zero), &["command_id"]);
    let slash = scene
        .bots
        .unregister_command(remove(Some(Target::Command("/help".to_owned()))))
        .await;
    refused_for(("slash", slash), &["command"]);
    let all = pb::UnregisterCommandRequest {
        portal: "/".to_owned(),
        bot_code: "/".to_owned(),
        target: Some(Target::CommandId(i64::MIN)),
    };
    let all = scene.bots.unregister_command(all).await;
    refused_for(("all of it", all), &["portal", "bot_code", "command_id"]);
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn execute_command_tells_every_broken_rule() {
    let (mut scene, calls) = scene().await;
    let base = || pb::ExecuteCommandRequest {
        bot_id: 7,
        message_id: 7,
        command: "help".to_owned(),
        ..pb::ExecuteCommandRequest::default()
    };
    let rows: Vec<(&str, pb::ExecuteCommandRequest, &[&str])> = vec![
        (
            "bot 0",
            pb::ExecuteCommandRequest {
                bot_id: 0,
                ..base()
            },
            &["bot_id"],
        ),
        (
            "message -1",
            pb::ExecuteCommandRequest {
                message_id: -1,
                ..base()
            },
            &["message_id"],
        ),
        (
            "no command",
            pb::ExecuteCommandRequest {
                command: String::new(),
                ..base()
            },
            &["command"],
        ),
        (
            "long parameters",
            pb::ExecuteCommandRequest {
                params: long(20_001),
                ..base()
            },
            &["params"],
        ),
        (
            "everything at once",
            pb::ExecuteCommandRequest {
                portal: "/".to_owned(),
                bot_id: 0,
                message_id: 0,
                command: "/".to_owned(),
                params: long(20_001),
                idempotency_key: long(65),
            },
            &[
                "portal",
                "bot_id",
                "message_id",
                "command",
                "params",
                "idempotency_key",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.execute_command(request).await), fields);
    }
    let elsewhere = pb::ExecuteCommandRequest {
        portal: "elsewhere".to_owned(),
        ..base()
    };
    refused_with(
        ("portal", scene.bots.execute_command(elsewhere).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    assert_eq!(scene.calls().len(), calls);
}
