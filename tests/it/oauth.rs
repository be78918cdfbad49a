//! Portals that let the gateway in by OAuth.

pub(crate) mod coming;
mod renewal;
pub(crate) mod stage;
mod trouble;

use bitrix24_gateway::proto::v1::{self as pb, PortalCredential, PortalState};
use bitrix24_sim::Request;

use self::stage::{Stage, say};
use crate::scene::answer;

/// Everything that reached the portal.
fn requests(stage: &Stage) -> Vec<Request> {
    stage.scene.portal.journal().requests()
}

#[tokio::test(start_paused = true)]
async fn installed_application_does_all_that_a_webhook_does() {
    let mut stage = Stage::set(&[]).await;
    let bot_id = stage.scene.helper().await;
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = stage.scene.subscribe(request).await;
    let message_id = stage.scene.anna_types("/help me");
    let (_, event) = stream.event().await;
    let answered = stage.scene.bots.answer_command(answer(&event, "here"));
    answered.await.unwrap();
    let command = pb::ExecuteCommandRequest {
        bot_id,
        command: "help".to_owned(),
        params: "again".to_owned(),
        message_id,
        ..pb::ExecuteCommandRequest::default()
    };
    stage.scene.bots.execute_command(command).await.unwrap();
    say(&stage.scene, "more").await.unwrap();
    let texts = stage.scene.texts();
    assert!(texts.contains(&"here".to_owned()) && texts.contains(&"more".to_owned()));

    let bot = stage.scene.portal.bot_by_code("helper").unwrap();
    assert_eq!(bot.client_id.as_deref(), Some(stage.client_id.as_str()));
    assert_eq!(stage.refreshes(), 0);
    let mut methods = Vec::new();
    for request in requests(&stage) {
        let error = request.error();
        let known = error.is_none() || error.as_deref() == Some("BOT_NOT_FOUND");
        assert!(known, "{request:?}");
        assert!(request.credential.contains("token"), "{request:?}");
        let written = request.params.to_string();
        assert!(!written.contains("botToken"), "{written}");
        methods.push(request.method);
    }
    assert!(
        methods.contains(&"im.message.command".to_owned()),
        "{methods:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_travel_together_with_one_token_for_all() {
    let mut stage = Stage::set(&[("rate.requests_per_second", "2"), ("rate.burst", "4")]).await;
    stage.scene.helper().await;
    let rooms = stage.rooms(40);
    stage.say_in(&rooms, "hello").await;
    let batches = stage.scene.portal.journal().calls("batch");
    assert!(!batches.is_empty(), "nothing travelled together");
    for batch in batches {
        assert_eq!(batch.error(), None);
        assert!(!batch.params.to_string().contains("botToken"));
    }
    for room in rooms {
        assert_eq!(stage.scene.portal.messages(&room).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn portal_shows_whose_tokens_it_is_called_with_and_none_of_them() {
    let stage = Stage::set(&[]).await;
    let shown = stage.scene.shown().await;
    assert_eq!(shown.credential(), PortalCredential::Oauth);
    assert_eq!(shown.member_id, stage.scene.portal.member_id());
    assert_eq!((shown.user_id, shown.portal.as_str()), (Some(1), "acme"));
    assert_eq!(shown.scopes, ["im", "imbot", "user"]);
    assert_eq!(shown.address, stage.scene.portal.address());
    assert_eq!(shown.configured_address, shown.address);
    let seconds = |time: &Option<prost_types::Timestamp>| time.as_ref().unwrap().seconds;
    let life = seconds(&shown.token_expire_time) - seconds(&shown.tokens_obtained_time);
    assert_eq!(life, 3600);
    let written = format!("{shown:?}");
    for secret in stage.secrets() {
        assert!(!written.contains(&secret), "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn webhook_shows_that_it_is_one() {
    let scene = crate::scene::Scene::start().await;
    let shown = scene.shown().await;
    assert_eq!(shown.credential(), PortalCredential::Webhook);
    assert_eq!((shown.user_id, shown.token_expire_time), (None, None));
}

#[tokio::test(start_paused = true)]
async fn two_portals_of_one_account_share_what_it_allows() {
    let limits = [("rate.requests_per_second", "2"), ("rate.burst", "50")];
    let mut stage = Stage::beside_a_webhook(&limits).await;
    stage
        .scene
        .portal
        .set_limits(bitrix24_sim::Limits::default());
    stage.scene.helper().await;
    let mut other = crate::scene::helper();
    other.portal = "default".to_owned();
    other.bot_code = "hooked".to_owned();
    stage.scene.bots.register_bot(other).await.unwrap();
    let rooms = stage.rooms(100);
    let hooked = stage.scene.portal.bot_by_code("hooked").unwrap().id;
    let more: Vec<_> = (0..100)
        .map(|room| {
            let title = format!("Hooked room {room}");
            let room = stage.scene.portal.add_group_chat(&title, &[1, hooked]);
            room.dialog_id()
        })
        .collect();
    let sent = stage.say_as("default", "hooked", &more, "hello");
    tokio::join!(stage.say_in(&rooms, "hello"), sent);
    for request in requests(&stage) {
        assert_ne!(request.error().as_deref(), Some("QUERY_LIMIT_EXCEEDED"));
    }
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
    // Both show the same bucket.
    let permits = |portal: &pb::Portal| portal.rate.as_ref().unwrap().permits;
    let (acme, default) = (stage.shown("acme").await, stage.shown("default").await);
    assert_eq!(permits(&acme), permits(&default));
}
