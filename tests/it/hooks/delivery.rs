//! What is posted comes into the log, once.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::FormNull;
use serde_json::json;
use tokio::time::sleep;

use super::place::{By, Place, commands, with};
use crate::scene::{answer, called, content, until};

#[tokio::test(start_paused = true)]
async fn command_is_posted_streamed_and_answered_whatever_lets_us_in_and_however_it_is_written() {
    for (by, json) in [
        (By::Webhook, false),
        (By::Webhook, true),
        (By::OAuth, false),
        (By::OAuth, true),
    ] {
        let mut place = Place::new(by).await;
        let portal = place.scene.portal.clone();
        portal.set_quirks(|quirks| quirks.webhook_bodies_are_json = json);
        let made = place.register(pb::EventMode::Webhook).await.unwrap();
        assert_eq!(made.outcome(), pb::RegistrationOutcome::Created);
        assert_eq!(made.bot.unwrap().event_mode, "webhook");
        let help = crate::scene::help();
        place.scene.bots.register_command(help).await.unwrap();
        place.join();
        let mut stream = place.stream().await;
        let text = "/help a&b=c [x] 100% «Ж» +1";
        place.scene.anna_types(text);
        let (_, event) = stream.event().await;
        assert_eq!(event.source(), pb::EventSource::Webhook);
        assert_eq!(event.portal_event_id, None);
        assert_eq!(called(&event).params, &text["/help ".len()..]);
        assert_eq!(event.bot.as_ref().unwrap().id, place.bot_id());
        let user = crate::scene::command_added(&event).user.unwrap();
        assert_eq!(user.id, place.scene.anna);
        place
            .scene
            .bots
            .answer_command(answer(&event, "there"))
            .await
            .unwrap();
        assert!(place.scene.texts().contains(&"there".to_owned()));
        let deliveries = place.deliveries().await;
        assert!(deliveries.len() >= 2, "it joined, and was called");
        for delivery in deliveries {
            assert_eq!(delivery.status, Some(200), "{delivery:?}");
        }
        let fetched = portal.journal().calls("imbot.v2.Event.get").len();
        assert_eq!(fetched, 0, "nobody fetches what is posted");
        let shown = pb::ListBotsRequest::default();
        let listed = place.scene.bots.list_bots(shown).await.unwrap();
        let listed = listed.into_inner().bots;
        assert_eq!(listed[0].event_mode(), pb::EventMode::Webhook);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_window_is_known_from_posted_commands_also_after_a_restart() {
    let mut place = Place::with_bot(By::Webhook).await;
    let mut stream = place.stream().await;
    place.scene.anna_types("/help");
    let (_, event) = stream.event().await;
    sleep(Duration::from_secs(700)).await;
    for _ in 0..2 {
        let late = place.scene.bots.answer_command(answer(&event, "late"));
        let late = crate::scene::told(&late.await.unwrap_err());
        assert_eq!(late.reason, "ANSWER_WINDOW_CLOSED");
        place.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_posted_twice_late_or_in_another_order_is_kept_once() {
    let mut place = Place::with_bot(By::Webhook).await;
    let portal = place.scene.portal.clone();
    portal.set_quirks(|quirks| quirks.deliveries_come_twice = true);
    portal.hold_deliveries();
    for word in ["one", "two", "three"] {
        place.scene.anna_types(&format!("/help {word}"));
        sleep(Duration::from_secs(2)).await;
    }
    portal.release_deliveries(true, 2);
    let mut stream = place.stream().await;
    let mut heard = commands(&mut stream, 3).await;
    heard.sort();
    assert_eq!(heard, ["one", "three", "two"]);
    let posted = place.deliveries().await;
    let calls = posted.iter().filter(|it| it.event.ends_with("COMMANDADD"));
    assert_eq!(calls.filter(|it| it.status == Some(200)).count(), 12);
    assert_eq!(place.logged("ONIMBOTV2COMMANDADD"), 3);
}

#[tokio::test(start_paused = true)]
async fn two_people_who_press_one_button_within_a_second_are_both_heard() {
    let place = Place::with_bot(By::Webhook).await;
    let button = pb::KeyboardButton {
        text: "Press".to_owned(),
        kind: Some(pb::keyboard_button::Kind::Command(pb::ButtonCommand {
            command: "help".to_owned(),
            params: "pressed".to_owned(),
        })),
        ..pb::KeyboardButton::default()
    };
    let keyboard = pb::Keyboard {
        buttons: vec![button],
        ..pb::Keyboard::default()
    };
    let request = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: place.scene.chat.dialog_id(),
        content: Some(pb::MessageContent {
            keyboard: Some(keyboard),
            ..content("Press it")
        }),
        ..pb::SendMessageRequest::default()
    };
    let sent = place.scene.messages().send_message(request).await.unwrap();
    let message = sent.into_inner().message_id.unwrap();
    place.scene.portal.hold_deliveries();
    for user in [place.scene.anna, place.scene.john] {
        place
            .scene
            .portal
            .user(user)
            .presses(message, "Press")
            .unwrap();
    }
    place.scene.portal.release_deliveries(false, 2);
    place.deliveries().await;
    assert_eq!(place.logged("ONIMBOTV2COMMANDADD"), 2);
}

#[tokio::test(start_paused = true)]
async fn reaction_that_is_taken_back_within_a_second_is_heard_twice() {
    let place = Place::with_bot(By::Webhook).await;
    let request = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: place.scene.chat.dialog_id(),
        content: Some(content("Do you like it?")),
        ..pb::SendMessageRequest::default()
    };
    let sent = place.scene.messages().send_message(request).await.unwrap();
    let message = sent.into_inner().message_id.unwrap();
    place.scene.portal.hold_deliveries();
    place
        .scene
        .portal
        .user(place.scene.anna)
        .reacts(message, "like")
        .unwrap();
    place.scene.portal.release_deliveries(false, 2);
    let added = place.deliveries().await.last().unwrap().body.clone();
    let removed = with(&added, "data[action]", "delete");
    for _ in 0..2 {
        assert_eq!(place.post(&removed).await, 200);
    }
    assert_eq!(place.logged("ONIMBOTV2REACTIONCHANGE"), 2);
}

#[tokio::test(start_paused = true)]
async fn event_that_cannot_be_read_is_set_aside_once_and_stops_no_other() {
    let mut place = Place::with_bot(By::Webhook).await;
    let body = place.unheard("/help").await;
    let command = with(&body, "data[command][command]", "");
    for _ in 0..2 {
        assert_eq!(place.post(&command).await, 200);
    }
    let store = rusqlite::Connection::open(place.scene.folder().join("store/store.db")).unwrap();
    let aside: i64 = store
        .query_row("SELECT count(*) FROM unreadable", [], |row| row.get(0))
        .unwrap();
    assert_eq!(aside, 1);
    place.scene.anna_types("/help after");
    let mut stream = place.stream().await;
    assert_eq!(stream.params().await, "after");
}

#[tokio::test(start_paused = true)]
async fn type_that_nobody_knows_is_kept_with_its_data() {
    let place = Place::with_bot(By::Webhook).await;
    let body = place.unheard("/help").await;
    let new = with(&body, "event", "ONIMBOTV3NEW");
    assert_eq!(place.post(&new).await, 200);
    assert_eq!(place.logged("ONIMBOTV3NEW"), 1);
}

#[tokio::test(start_paused = true)]
async fn event_that_outruns_the_answer_to_its_registration_is_taken() {
    let mut place = Place::new(By::Webhook).await;
    let slow = Duration::from_secs(3);
    let portal = place.scene.portal.clone();
    // The bot is there and tells, and the answer that names it is under way.
    let fault = bitrix24_sim::Fault::latency(slow).after_effect();
    portal.faults().on("imbot.v2.Bot.register", fault);
    let mut bots = place.scene.bots.clone();
    let wish = super::place::in_mode(pb::EventMode::Webhook);
    let registering = tokio::spawn(async move { bots.register_bot(wish).await });
    until("the bot is there", || {
        portal.bot_by_code("helper").is_some()
    })
    .await;
    place.join();
    let registered = registering.await.unwrap().unwrap().into_inner();
    assert_eq!(registered.outcome(), pb::RegistrationOutcome::Created);
    let deliveries = place.deliveries().await;
    assert_eq!(deliveries[0].status, Some(200), "{deliveries:?}");
    assert_eq!(place.log(), ["ONIMBOTV2JOINCHAT"]);
    let _stream = place.stream().await;
}

#[tokio::test(start_paused = true)]
async fn bot_that_says_it_was_removed_is_gone() {
    let mut place = Place::with_bot(By::Webhook).await;
    assert!(place.scene.portal.remove_bot(place.bot_id()));
    place.deliveries().await;
    assert_eq!(place.logged("ONIMBOTV2DELETE"), 1);
    for _ in 0..2 {
        let shown = pb::ListBotsRequest::default();
        let listed = place.scene.bots.list_bots(shown).await.unwrap();
        assert_eq!(listed.into_inner().bots[0].status(), pb::BotStatus::Gone);
        place.restart().await;
    }
    assert_eq!(
        place.logged("WEBHOOKS_MISSED"),
        0,
        "of what is gone nothing is missed"
    );
}

#[tokio::test(start_paused = true)]
async fn every_form_that_a_portal_may_write_is_read() {
    let mut place = Place::with_bot(By::Webhook).await;
    let mut stream = place.stream().await;
    for (number, (nulls, brackets)) in [
        (FormNull::Absent, true),
        (FormNull::Empty, false),
        (FormNull::Absent, false),
        (FormNull::Empty, true),
    ]
    .into_iter()
    .enumerate()
    {
        place.scene.portal.set_quirks(|quirks| {
            quirks.form_nulls = nulls;
            quirks.encoded_brackets = brackets;
            quirks.event_handler_id = brackets;
            quirks.unknown_fields = true;
        });
        place.scene.anna_types(&format!("/help {number}"));
        assert_eq!(stream.params().await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn posted_body_keeps_no_token_in_the_log() {
    for by in [By::Webhook, By::OAuth] {
        let mut place = Place::with_bot(by).await;
        let mut stream = place.stream().await;
        place
            .scene
            .portal
            .set_quirks(|quirks| quirks.bot_auth_can_refresh = true);
        place.scene.anna_types("/help");
        let (_, event) = stream.event().await;
        let shown = format!("{event:?}");
        let posted = place.deliveries().await.last().unwrap().body.clone();
        let secrets: Vec<String> = form_urlencoded::parse(posted.as_bytes())
            .filter(|(name, _)| name.ends_with("_token]"))
            .map(|(_, value)| value.into_owned())
            .collect();
        assert!(!secrets.is_empty());
        for secret in secrets {
            assert!(!shown.contains(&secret), "{by:?}");
        }
        assert_eq!(json!(place.log().last()), json!("ONIMBOTV2COMMANDADD"));
    }
}
