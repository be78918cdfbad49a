//! How a bot's events reach us is chosen, changed and shown.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, GapReason};
use bitrix24_sim::{Effect, Fault};
use tokio::time::sleep;
use tonic::Code;

use super::place::{By, Place, commands, gap, in_mode};
use crate::scene::{Scene, failure, help, told};

const POLL: &str = "imbot.v2.Event.get";
const UPDATE: &str = "imbot.v2.Bot.update";

fn dropped(place: &Place) -> usize {
    let effects = place.scene.portal.journal().effects();
    let dropped = |effect: &&Effect| matches!(effect, Effect::EventsDropped { .. });
    effects.iter().filter(dropped).count()
}

/// A fetched bot in the chat.
async fn fetched(by: By) -> Place {
    let mut place = Place::new(by).await;
    place.register(pb::EventMode::Unspecified).await.unwrap();
    place.scene.bots.register_command(help()).await.unwrap();
    place.join();
    place
}

#[tokio::test(start_paused = true)]
async fn portal_that_cannot_reach_us_is_not_asked_to() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let before = scene.calls().len();
    let refused = scene
        .bots
        .register_bot(in_mode(pb::EventMode::Webhook))
        .await;
    let expected = failure(Code::FailedPrecondition, "NO_PUBLIC_URL", "no");
    assert_eq!(told(&refused.unwrap_err()), expected);
    let wish = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        event_mode: pb::EventMode::Webhook.into(),
        ..pb::UpdateBotRequest::default()
    };
    let refused = scene.bots.update_bot(wish).await;
    assert_eq!(told(&refused.unwrap_err()), expected);
    assert_eq!(scene.calls().len(), before, "no call was spent");
}

#[tokio::test(start_paused = true)]
async fn portal_that_told_no_proof_is_not_asked_to_post() {
    let listen = crate::http::door::LISTEN;
    let mut stage = crate::oauth::stage::Stage::set(&listen).await;
    let before = stage.scene.calls().len();
    let refused = stage
        .scene
        .bots
        .register_bot(in_mode(pb::EventMode::Webhook));
    let refused = told(&refused.await.unwrap_err());
    let expected = failure(Code::FailedPrecondition, "APPLICATION_TOKEN_UNKNOWN", "no");
    assert_eq!(refused, expected);
    assert_eq!(stage.scene.calls().len(), before, "no call was spent");
}

#[tokio::test(start_paused = true)]
async fn change_to_webhooks_fetches_first_what_the_portal_would_drop_and_leaves_a_gap() {
    for by in [By::Webhook, By::OAuth] {
        let mut place = fetched(by).await;
        let mut stream = place.stream().await;
        // Quiet bots are fetched more rarely.
        sleep(Duration::from_secs(300)).await;
        for word in ["one", "two", "three"] {
            place.scene.anna_types(&format!("/help {word}"));
        }
        place.update(pb::EventMode::Webhook).await.unwrap();
        assert_eq!(place.mode(), "webhook");
        assert_eq!(dropped(&place), 0, "nothing was left");
        assert_eq!(commands(&mut stream, 3).await, ["one", "two", "three"]);
        let gap = gap(&mut stream).await;
        assert_eq!(gap.reason(), GapReason::ModeChanged);
        let (from, until) = (gap.from.unwrap(), gap.until.unwrap());
        assert!(from.seconds <= until.seconds && until.seconds - from.seconds < 60);
        let fetches = place.scene.portal.journal().calls(POLL).len();
        place.scene.anna_types("/help posted");
        assert_eq!(stream.params().await, "posted");
        sleep(Duration::from_secs(120)).await;
        assert!(place.scene.portal.journal().calls(POLL).len() <= fetches + 1);
        assert_eq!(place.logged("MODE_CHANGED"), 1);
        // The same again changes nothing.
        place.update(pb::EventMode::Webhook).await.unwrap();
        assert_eq!(place.logged("MODE_CHANGED"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn change_to_fetching_takes_what_comes_late_and_leaves_a_gap() {
    for by in [By::Webhook, By::OAuth] {
        let mut place = Place::with_bot(by).await;
        let mut stream = place.stream().await;
        // Longer than a portal keeps events that nobody fetches.
        sleep(Duration::from_secs(30 * 3600)).await;
        place.scene.portal.hold_deliveries();
        place.scene.anna_types("/help late");
        let bot = place.update(pb::EventMode::Fetch).await.unwrap();
        assert_eq!(bot.event_mode, "fetch");
        place.scene.anna_types("/help fetched");
        assert_eq!(stream.params().await, "fetched");
        place.scene.portal.release_deliveries(false, 1);
        assert_eq!(stream.params().await, "late");
        assert_eq!(place.logged("MODE_CHANGED"), 1);
        assert_eq!(place.logged("NOT_POLLED"), 0);
        let fetched = place
            .log()
            .iter()
            .filter(|kind| *kind == "ONIMBOTV2COMMANDADD")
            .count();
        assert_eq!(fetched, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn another_mode_is_a_difference_like_others_and_left_alone_when_nobody_names_one() {
    let mut place = fetched(By::Webhook).await;
    let differs = place.register(pb::EventMode::Webhook).await.unwrap();
    assert_eq!(differs.outcome(), pb::RegistrationOutcome::Differs);
    assert_eq!(differs.unapplied_fields, ["event_mode"]);
    assert_eq!(place.mode(), "fetch");
    let converge = pb::RegisterBotRequest {
        if_exists: pb::IfExists::Converge.into(),
        ..in_mode(pb::EventMode::Webhook)
    };
    let bots = &mut place.scene.bots;
    let updated = bots
        .register_bot(converge.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.outcome(), pb::RegistrationOutcome::Updated);
    assert_eq!(
        (updated.unapplied_fields.len(), place.mode().as_str()),
        (0, "webhook")
    );
    for mode in [pb::EventMode::Webhook, pb::EventMode::Unspecified] {
        let same = pb::RegisterBotRequest {
            event_mode: mode.into(),
            ..converge.clone()
        };
        let same = place
            .scene
            .bots
            .register_bot(same)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            same.outcome(),
            pb::RegistrationOutcome::Unchanged,
            "{mode:?}"
        );
    }
    let differs = place.register(pb::EventMode::Fetch).await.unwrap();
    assert_eq!(differs.unapplied_fields, ["event_mode"]);
    assert_eq!(place.mode(), "webhook");
    assert_eq!(
        place
            .log()
            .iter()
            .filter(|it| *it == "MODE_CHANGED")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn mode_and_properties_are_changed_in_one_call_of_ours() {
    let mut place = fetched(By::Webhook).await;
    let wish = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        event_mode: pb::EventMode::Webhook.into(),
        is_hidden: Some(true),
        ..pb::UpdateBotRequest::default()
    };
    let updated = place
        .scene
        .bots
        .update_bot(wish)
        .await
        .unwrap()
        .into_inner();
    let bot = updated.bot.unwrap();
    assert_eq!(
        (bot.event_mode.as_str(), bot.is_hidden),
        ("webhook", Some(true))
    );
    let subscribed = place.scene.portal.subscriptions();
    assert_eq!(subscribed.len(), 1);
    assert!(subscribed[0].1.starts_with(&place.ingress.url));
}

#[tokio::test(start_paused = true)]
async fn bot_that_posts_elsewhere_differs_from_what_is_wished() {
    let mut place = Place::new(By::Webhook).await;
    let fields = serde_json::json!({
        "code": "helper", "botToken": "their-token", "properties": {"name": "Helper"},
        "eventMode": "webhook", "webhookUrl": "https://elsewhere.example.com/hook",
    });
    let params = serde_json::json!({"fields": fields});
    place
        .scene
        .call_elsewhere("imbot.v2.Bot.register", &params)
        .await;
    for (mode, outcome) in [
        (pb::EventMode::Unspecified, pb::RegistrationOutcome::Differs),
        (pb::EventMode::Webhook, pb::RegistrationOutcome::Differs),
        (pb::EventMode::Fetch, pb::RegistrationOutcome::Differs),
    ] {
        let adopt = pb::RegisterBotRequest {
            adopt: Some(pb::BotAdoption {
                bot_token: "their-token".to_owned(),
                ..pb::BotAdoption::default()
            }),
            ..in_mode(mode)
        };
        let adopted = place
            .scene
            .bots
            .register_bot(adopt)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(adopted.outcome(), outcome, "{mode:?}");
        assert_eq!(adopted.unapplied_fields, ["event_mode"], "{mode:?}");
    }
    place.update(pb::EventMode::Webhook).await.unwrap();
    let url = place
        .scene
        .portal
        .bot_by_code("helper")
        .unwrap()
        .webhook_url;
    assert!(url.starts_with(&place.ingress.url));
    let same = place.register(pb::EventMode::Webhook).await.unwrap();
    assert_eq!(same.outcome(), pb::RegistrationOutcome::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn mode_stays_while_what_waits_in_the_portal_cannot_be_fetched() {
    let mut place = fetched(By::Webhook).await;
    let fault = Fault::error(400, "SOMETHING_ELSE", "").always();
    place.scene.portal.faults().on(POLL, fault);
    // One that is under way may still come back empty.
    sleep(Duration::from_secs(30)).await;
    let refused = told(&place.update(pb::EventMode::Webhook).await.unwrap_err());
    assert_eq!(
        refused,
        failure(Code::Unavailable, "EVENTS_NOT_DRAINED", "no")
    );
    assert_eq!(
        (place.mode().as_str(), place.logged("MODE_CHANGED")),
        ("fetch", 0)
    );
    assert_eq!(place.scene.portal.journal().calls(UPDATE).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn changed_public_url_is_told_to_the_portal() {
    let mut place = Place::with_bot(By::Webhook).await;
    let mut moved = super::ingress::Ingress::open().await;
    place.ingress.leads_to(None);
    place.scene.set("http.public_url", moved.url.clone());
    place.scene.restart().await;
    moved.leads_to(Some(place.scene.http()));
    std::mem::swap(&mut place.ingress, &mut moved);
    let portal = place.scene.portal.clone();
    let url = place.ingress.url.clone();
    crate::scene::until("the portal has the new address", || {
        portal
            .bot_by_code("helper")
            .unwrap()
            .webhook_url
            .starts_with(&url)
    })
    .await;
    assert!(place.path().starts_with("/bitrix24/bots/"));
    sleep(Duration::from_secs(5)).await;
    assert!(place.logged("WEBHOOKS_MISSED") >= 1);
}
