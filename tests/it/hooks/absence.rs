//! What came while nobody listened is a gap, not a silence.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, GapReason};
use rusqlite::Connection;
use tokio::time::sleep;

use super::place::{By, Place, gap};

/// The time by the gateway's clock, in seconds since 1970.
fn now(place: &Place) -> i64 {
    let now = place.scene.sim.clock().now();
    i64::try_from(now.as_secs()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn time_between_an_orderly_stop_and_the_next_start_is_a_gap() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(600)).await;
    let stopped = now(&place);
    place.ingress.leads_to(None);
    place.scene.stop().await;
    place.scene.anna_types("/help lost");
    sleep(Duration::from_secs(300)).await;
    let began = now(&place);
    place.scene.start_again().await;
    place.ingress.leads_to(Some(place.scene.http()));
    let mut stream = place.stream().await;
    let gap = gap(&mut stream).await;
    assert_eq!(gap.reason(), GapReason::WebhooksMissed);
    assert_eq!(gap.bot_code, "helper");
    let (from, until) = (gap.from.unwrap().seconds, gap.until.unwrap().seconds);
    assert!(
        (stopped - 1..=stopped + 10).contains(&from),
        "{from} {stopped}"
    );
    assert!((began - 1..=began + 10).contains(&until), "{until} {began}");
    place.scene.anna_types("/help here");
    assert_eq!(stream.params().await, "here");
    assert_eq!(place.logged("WEBHOOKS_MISSED"), 1);
}

#[tokio::test(start_paused = true)]
async fn time_since_a_crash_is_a_gap_that_begins_a_minute_early_at_most() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(1000)).await;
    place.ingress.leads_to(None);
    let crashed = now(&place);
    place.scene.crash_at_rest().await;
    place.ingress.leads_to(Some(place.scene.http()));
    let mut stream = place.stream().await;
    let gap = gap(&mut stream).await;
    assert_eq!(gap.reason(), GapReason::WebhooksMissed);
    let from = gap.from.unwrap().seconds;
    assert!((crashed - 61..=crashed).contains(&from), "{from} {crashed}");
    assert!(gap.until.unwrap().seconds >= crashed);
}

#[tokio::test(start_paused = true)]
async fn fetched_bots_miss_nothing_in_a_restart() {
    let mut place = Place::new(By::Webhook).await;
    place.register(pb::EventMode::Fetch).await.unwrap();
    sleep(Duration::from_secs(200)).await;
    place.restart().await;
    sleep(Duration::from_secs(200)).await;
    assert_eq!(place.logged("WEBHOOKS_MISSED"), 0);
}

#[tokio::test(start_paused = true)]
async fn bot_that_began_to_post_lately_missed_nothing_before_that() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(10_000)).await;
    let other = pb::RegisterBotRequest {
        bot_code: "other".to_owned(),
        event_mode: pb::EventMode::Webhook.into(),
        ..crate::scene::helper()
    };
    // The mark is a minute old at most; this one is younger.
    sleep(Duration::from_secs(30)).await;
    let made = now(&place);
    place.scene.bots.register_bot(other).await.unwrap();
    place.scene.crash_at_rest().await;
    let mut stream = place.stream().await;
    let mut gaps = [gap(&mut stream).await, gap(&mut stream).await];
    gaps.sort_by(|one, other| one.bot_code.cmp(&other.bot_code));
    assert_eq!(gaps[1].bot_code, "other");
    assert!(gaps[1].from.unwrap().seconds >= made);
}

#[tokio::test(start_paused = true)]
async fn event_that_cannot_be_stored_is_not_answered_with_200_and_becomes_a_gap() {
    let mut place = Place::with_bot(By::Webhook).await;
    let body = place.unheard("/help me").await;
    let before = place.logged("ONIMBOTV2COMMANDADD");
    let store = place.scene.folder().join("store/store.db");
    let lock = Connection::open(store).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = now(&place);
    assert_eq!(place.post(&body).await, 503);
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    let mut stream = place.stream().await;
    let gap = gap(&mut stream).await;
    assert_eq!(gap.reason(), GapReason::WebhooksMissed);
    let from = gap.from.unwrap().seconds;
    assert!(
        (refused - 1..=refused + 10).contains(&from),
        "{from} {refused}"
    );
    assert_eq!(place.logged("ONIMBOTV2COMMANDADD"), before);
    // Should the portal post it again it is taken.
    assert_eq!(place.post(&body).await, 200);
    assert_eq!(stream.params().await, "me");
}

#[tokio::test(start_paused = true)]
async fn gap_that_could_not_be_written_before_the_stop_is_there_after_the_start() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(600)).await;
    let body = place.unheard("/help me").await;
    let store = place.scene.folder().join("store/store.db");
    let lock = Connection::open(store).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = now(&place);
    assert_eq!(place.post(&body).await, 503);
    place.ingress.leads_to(None);
    place.scene.stop().await;
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    place.scene.start_again().await;
    let mut stream = place.stream().await;
    let gap = gap(&mut stream).await;
    assert!(gap.from.unwrap().seconds <= refused);
    assert!(gap.until.unwrap().seconds >= refused);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_the_process_ends_is_in_the_gap() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(600)).await;
    let slow = Duration::from_secs(40);
    let method = "imbot.v2.Chat.Message.send";
    place.scene.portal.set_latency(Some(method), slow);
    let mut messages = place.scene.messages();
    let message = crate::oauth::stage::message(place.scene.chat.dialog_id(), "slow");
    let sending = tokio::spawn(async move { messages.send_message(message).await });
    sleep(Duration::from_secs(1)).await;
    let stopped = now(&place);
    place.scene.stop().await;
    sending.await.unwrap().unwrap();
    assert!(now(&place) >= stopped + 30, "it waited for the call");
    place.scene.start_again().await;
    let mut stream = place.stream().await;
    let from = gap(&mut stream).await.from.unwrap().seconds;
    assert!(
        (stopped - 1..=stopped + 5).contains(&from),
        "{from} {stopped}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_heard_to_its_end_is_a_gap_within_a_minute() {
    let mut place = Place::with_bot(By::Webhook).await;
    sleep(Duration::from_secs(600)).await;
    let at = now(&place);
    let head = "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nevent=";
    let head = head.replace("{path}", &place.path());
    for _ in 0..3 {
        let stream = crate::http::browser::connect(place.scene.http()).await;
        let answer = crate::http::browser::raw(stream, head.as_bytes()).await;
        assert_eq!(answer.unwrap().status, 408);
    }
    let mut stream = place.stream().await;
    let gap = gap(&mut stream).await;
    assert_eq!(gap.reason(), GapReason::WebhooksMissed);
    assert!(gap.from.unwrap().seconds <= at + 15);
    assert!(gap.until.unwrap().seconds <= at + 15 + 61);
    assert_eq!(place.logged("WEBHOOKS_MISSED"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_leaves_a_gap() {
    let mut place = Place::with_bot(By::Webhook).await;
    place.scene.set("http.max_connections", "2".to_owned());
    place.restart().await;
    sleep(Duration::from_secs(90)).await;
    let before = place.logged("WEBHOOKS_MISSED");
    let address = place.scene.http();
    let held = [
        crate::http::browser::connect(address).await,
        crate::http::browser::connect(address).await,
    ];
    sleep(Duration::from_millis(10)).await;
    place.scene.anna_types("/help unheard");
    let delivery = place.deliveries().await.last().cloned().unwrap();
    assert_eq!(delivery.status, None, "{delivery:?}");
    drop(held);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(place.logged("WEBHOOKS_MISSED"), before + 1);
}
