//! Messages that nobody asked for: what is sent, what comes back, and what happens in the portal.

mod documented;
mod keys;

use bitrix24_gateway::proto::v1::{
    self as pb, attach_block::Block, keyboard_button::Kind,
    message_service_client::MessageServiceClient,
};
use bitrix24_sim::{Effect, Limits, Message};
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};

use crate::scene::{Scene, content, failure, told};

const SEND: &str = "imbot.v2.Chat.Message.send";
const UPDATE: &str = "imbot.v2.Chat.Message.update";
const DELETE: &str = "imbot.v2.Chat.Message.delete";
const NOTIFY: &str = "imbot.v2.Chat.InputAction.notify";

/// A scene in which nothing is paced, its client, and the id of its bot.
async fn stage() -> (Scene, MessageServiceClient<Channel>, i64) {
    let settings = [
        ("rate.requests_per_second", "0"),
        ("polling.idle_pause", "5m"),
    ];
    let mut scene = Scene::with(&settings).await;
    scene.portal.set_limits(Limits::none());
    let bot_id = scene.helper().await;
    let messages = scene.messages();
    (scene, messages, bot_id)
}

fn say(scene: &Scene, text: &str) -> pb::SendMessageRequest {
    pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content(text)),
        ..pb::SendMessageRequest::default()
    }
}

fn change(message_id: i64) -> pb::UpdateMessageRequest {
    pb::UpdateMessageRequest {
        bot_code: "helper".to_owned(),
        message_id,
        ..pb::UpdateMessageRequest::default()
    }
}

fn delete(message_id: i64) -> pb::DeleteMessageRequest {
    pb::DeleteMessageRequest {
        bot_code: "helper".to_owned(),
        message_id,
        ..pb::DeleteMessageRequest::default()
    }
}

fn notify(scene: &Scene) -> pb::NotifyActionRequest {
    pb::NotifyActionRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        ..pb::NotifyActionRequest::default()
    }
}

fn button(text: &str, kind: Kind) -> pb::KeyboardButton {
    pb::KeyboardButton {
        text: text.to_owned(),
        kind: Some(kind),
        ..pb::KeyboardButton::default()
    }
}

fn help_button() -> pb::Keyboard {
    let command = pb::ButtonCommand {
        command: "help".to_owned(),
        params: String::new(),
    };
    pb::Keyboard {
        buttons: vec![button("Help", Kind::Command(command))],
        ..pb::Keyboard::default()
    }
}

fn blocks(blocks: Vec<Block>) -> pb::Attach {
    let block = |block| pb::AttachBlock { block: Some(block) };
    pb::Attach {
        blocks: blocks.into_iter().map(block).collect(),
        ..pb::Attach::default()
    }
}

async fn sent(
    messages: &mut MessageServiceClient<Channel>,
    request: pb::SendMessageRequest,
) -> i64 {
    let sent = messages.send_message(request).await.unwrap().into_inner();
    sent.message_id.unwrap()
}

/// Parameters of the newest call of a method.
fn params(scene: &Scene, method: &str) -> Value {
    let calls = scene.portal.journal().calls(method);
    calls.last().expect("a call").params.clone()
}

fn message(scene: &Scene, id: i64) -> Message {
    scene.portal.message(id).expect("the message is there")
}

#[tokio::test(start_paused = true)]
async fn message_is_posted_and_told_by_its_id() {
    let (scene, mut messages, bot_id) = stage().await;
    let asked = scene.anna_types("a question");
    let request = pb::SendMessageRequest {
        reply_id: Some(asked),
        skip_connector: Some(true),
        silent_connector: Some(false),
        content: Some(pb::MessageContent {
            url_preview: Some(false),
            keyboard: Some(help_button()),
            ..content("an answer")
        }),
        ..say(&scene, "")
    };
    let posted = message(&scene, sent(&mut messages, request).await);
    assert_eq!(posted.text, "an answer");
    assert_eq!((posted.author_id, posted.reply_to), (bot_id, Some(asked)));
    assert!(!posted.url_preview && posted.uuid.is_none());
    let fields = &params(&scene, SEND)["fields"];
    assert_eq!(fields["skipConnector"], true);
    assert_eq!(fields["silentConnector"], false);
    assert!(fields.get("templateId").is_none() && fields.get("forwardIds").is_none());
}

#[tokio::test(start_paused = true)]
async fn private_dialog_is_opened_on_demand() {
    let (scene, mut messages, bot_id) = stage().await;
    let request = pb::SendMessageRequest {
        dialog_id: scene.anna.to_string(),
        ..say(&scene, "Good morning")
    };
    let id = sent(&mut messages, request).await;
    let dialog = scene.portal.messages(&format!("{}:{bot_id}", scene.anna));
    assert_eq!(dialog.last().unwrap().id, id);
}

#[tokio::test(start_paused = true)]
async fn forwards_are_posted_and_told_in_their_order() {
    let (scene, mut messages, _) = stage().await;
    let mut ids: Vec<i64> = (0..20)
        .map(|n| scene.anna_types(&format!("no. {n}")))
        .collect();
    ids.reverse();
    for said in [None, Some(content("look"))] {
        let request = pb::SendMessageRequest {
            content: said.clone(),
            forward_message_ids: ids.clone(),
            ..say(&scene, "")
        };
        let told = messages.send_message(request).await.unwrap().into_inner();
        assert_eq!(told.message_id.is_some(), said.is_some());
        let forwards = &told.forwarded_message_ids;
        assert!(forwards.is_sorted(), "{forwards:?}");
        let from = |id: &i64| message(&scene, *id).forwarded_from.unwrap();
        assert_eq!(forwards.iter().map(from).collect::<Vec<_>>(), ids);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_without_the_id_of_the_message_is_not_understood() {
    let (scene, mut messages, _) = stage().await;
    let unreadable = failure(Code::Unknown, "UNREADABLE_ANSWER", "unknown");
    for result in [json!({"uuidMap": []}), json!({"id": null}), json!(true)] {
        scene.answer_next(SEND, &json!({"result": result}));
        let status = messages
            .send_message(say(&scene, "hello"))
            .await
            .unwrap_err();
        assert_eq!(told(&status), unreadable, "{result}");
    }
    // Forwards are sent without a message, and the portal may not tell their ids.
    scene.answer_next(SEND, &json!({"result": {"id": null, "uuidMap": []}}));
    let request = pb::SendMessageRequest {
        content: None,
        forward_message_ids: vec![1, 2],
        ..say(&scene, "")
    };
    let told = messages.send_message(request).await.unwrap().into_inner();
    assert_eq!(told.forwarded_message_ids, [0, 0]);
    assert_eq!(told.message_id, None);
}

#[tokio::test(start_paused = true)]
async fn update_changes_what_it_names_and_leaves_the_rest() {
    let (scene, mut messages, bot_id) = stage().await;
    let request = pb::SendMessageRequest {
        content: Some(pb::MessageContent {
            attach: Some(blocks(vec![Block::Message("a block".to_owned())])),
            keyboard: Some(help_button()),
            ..content("before")
        }),
        ..say(&scene, "")
    };
    let id = sent(&mut messages, request).await;
    let first = message(&scene, id);

    let text = pb::UpdateMessageRequest {
        text: Some("after".to_owned()),
        ..change(id)
    };
    messages.update_message(text).await.unwrap();
    let token = scene.portal.bot_by_code("helper").unwrap().token;
    let wanted = json!({
        "botId": bot_id, "botToken": token, "messageId": id, "fields": {"message": "after"},
    });
    assert_eq!(params(&scene, UPDATE), wanted);
    let second = message(&scene, id);
    assert_eq!(second.text, "after");
    assert_eq!(
        (&second.attach, &second.keyboard),
        (&first.attach, &first.keyboard)
    );

    for (wish, sent) in [(false, "N"), (true, "Y")] {
        let preview = pb::UpdateMessageRequest {
            url_preview: Some(wish),
            ..change(id)
        };
        messages.update_message(preview).await.unwrap();
        let fields = &params(&scene, UPDATE)["fields"];
        assert_eq!(*fields, json!({"urlPreview": sent}));
        assert_eq!(message(&scene, id).url_preview, wish);
    }

    let bare = pb::UpdateMessageRequest {
        remove_keyboard: true,
        ..change(id)
    };
    messages.update_message(bare).await.unwrap();
    let fields = &params(&scene, UPDATE)["fields"];
    assert_eq!(*fields, json!({"keyboard": "N"}));
    assert_eq!(message(&scene, id).keyboard, None);

    let block = pb::UpdateMessageRequest {
        text: Some(String::new()),
        attach: Some(blocks(vec![Block::Message("alone".to_owned())])),
        ..change(id)
    };
    messages.update_message(block).await.unwrap();
    let last = message(&scene, id);
    assert_eq!(last.attach, Some(json!([{"MESSAGE": "alone"}])));
    assert!(last.text.is_empty() && !last.deleted);
}

#[tokio::test(start_paused = true)]
async fn button_of_a_changed_message_still_calls_its_command() {
    let (mut scene, mut messages, bot_id) = stage().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let request = pb::SendMessageRequest {
        dialog_id: scene.anna.to_string(),
        ..say(&scene, "Wait")
    };
    let id = sent(&mut messages, request).await;
    let buttons = pb::UpdateMessageRequest {
        keyboard: Some(help_button()),
        ..change(id)
    };
    messages.update_message(buttons).await.unwrap();
    assert_eq!(
        params(&scene, UPDATE)["fields"]["keyboard"]["BOT_ID"],
        bot_id
    );
    // In a private dialog a button without a bot is dead.
    scene.portal.user(scene.anna).presses(id, "Help").unwrap();
    let (_, event) = stream.event().await;
    assert_eq!(crate::scene::called(&event).command, "help");
}

#[tokio::test(start_paused = true)]
async fn message_is_deleted_softly_or_without_a_trace() {
    let (scene, mut messages, _) = stage().await;
    scene.errors_have_names();
    scene
        .portal
        .set_quirks(|quirks| quirks.absent_message_is_denied = false);
    let soft = sent(&mut messages, say(&scene, "soft")).await;
    messages.delete_message(delete(soft)).await.unwrap();
    assert!(message(&scene, soft).deleted);
    assert!(params(&scene, DELETE).get("complete").is_none());

    let complete = sent(&mut messages, say(&scene, "complete")).await;
    let request = || pb::DeleteMessageRequest {
        complete: true,
        ..delete(complete)
    };
    messages.delete_message(request()).await.unwrap();
    assert!(scene.portal.message(complete).is_none());
    let gone = messages.delete_message(request()).await.unwrap_err();
    assert_eq!(
        told(&gone),
        failure(Code::NotFound, "MESSAGE_NOT_FOUND", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn bot_touches_no_message_of_others() {
    let (scene, mut messages, _) = stage().await;
    scene
        .portal
        .set_quirks(|quirks| quirks.powerless_delete_is_true = false);
    scene.errors_have_names();
    let id = scene.anna_types("mine");
    let denied = failure(Code::PermissionDenied, "ACCESS_DENIED", "no");
    let request = pb::UpdateMessageRequest {
        text: Some("yours".to_owned()),
        ..change(id)
    };
    let status = messages.update_message(request).await.unwrap_err();
    assert_eq!(told(&status), denied);
    let status = messages.delete_message(delete(id)).await.unwrap_err();
    assert_eq!(told(&status), denied);
    assert_eq!(message(&scene, id).text, "mine");
}

#[tokio::test(start_paused = true)]
async fn busy_bot_is_shown_with_every_action() {
    let (scene, mut messages, bot_id) = stage().await;
    let names = [
        "",
        "THINKING",
        "SEARCHING",
        "GENERATING",
        "ANALYZING",
        "PROCESSING",
        "TRANSLATING",
        "CONNECTING",
        "CHECKING",
        "CALCULATING",
        "READING_DOCS",
        "COMPOSING",
    ];
    let token = scene.portal.bot_by_code("helper").unwrap().token;
    let dialog = scene.chat.dialog_id();
    for (number, name) in (0..).zip(names) {
        let request = pb::NotifyActionRequest {
            action: number,
            ..notify(&scene)
        };
        messages.notify_action(request).await.unwrap();
        let mut wanted = json!({"botId": bot_id, "botToken": token, "dialogId": dialog});
        if !name.is_empty() {
            wanted["statusMessageCode"] = json!(format!("IMBOT_AGENT_ACTION_{name}"));
        }
        assert_eq!(params(&scene, NOTIFY), wanted);
    }
    assert!(pb::BotAction::try_from(i32::try_from(names.len()).unwrap()).is_err());
    for seconds in [1, 600] {
        let request = pb::NotifyActionRequest {
            duration: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..notify(&scene)
        };
        messages.notify_action(request).await.unwrap();
        assert_eq!(params(&scene, NOTIFY)["duration"], seconds);
    }
    let shown = |effect: &&Effect| matches!(effect, Effect::ActionShown { .. });
    let effects = scene.portal.journal().effects();
    assert_eq!(effects.iter().filter(shown).count(), names.len() + 2);
}

#[tokio::test(start_paused = true)]
async fn bot_outside_of_a_chat_is_denied() {
    let (scene, mut messages, _) = stage().await;
    scene.errors_have_names();
    let other = scene.portal.add_group_chat("Others", &[1, scene.anna]);
    let request = pb::SendMessageRequest {
        dialog_id: other.dialog_id(),
        ..say(&scene, "hello")
    };
    let status = messages.send_message(request).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::PermissionDenied, "ACCESS_DENIED", "no")
    );
}
