//! A bot from outside is adopted once, and may get a token of ours.

use std::{fs, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use tokio::time::sleep;
use tonic::Code;

use super::{listed, release, rotations, start, token, works};
use crate::scene::{Scene, failure, helper, told};

const TOKEN: &str = "a-token-of-somebody-else";

fn adopting(token: &str, rotate_token: bool) -> pb::RegisterBotRequest {
    pb::RegisterBotRequest {
        adopt: Some(pb::BotAdoption {
            bot_token: token.to_owned(),
            rotate_token,
            ..pb::BotAdoption::default()
        }),
        ..helper()
    }
}

/// A bot made by another program, in the chat.
async fn elsewhere(scene: &Scene) -> i64 {
    let id = scene.make_bot_elsewhere("helper", TOKEN).await;
    scene
        .portal
        .add_bot_to_chat(id, scene.chat.id, scene.anna)
        .unwrap();
    scene.make_command_elsewhere(id, TOKEN, "help").await;
    id
}

#[tokio::test(start_paused = true)]
async fn adopted_bot_keeps_its_token_unless_another_is_asked_for() {
    for rotate in [false, true] {
        let mut scene = start(&[]).await;
        let id = elsewhere(&scene).await;
        let adopted = scene.bots.register_bot(adopting(TOKEN, rotate)).await;
        assert_eq!(adopted.unwrap().into_inner().bot.unwrap().id, id);
        assert_eq!(token(&scene) == TOKEN, !rotate);
        assert_eq!(listed(&scene, TOKEN).await.is_empty(), rotate);
        works(&mut scene, "adopted").await;
        // At every start of its program.
        for _ in 0..2 {
            let again = scene.bots.register_bot(adopting(TOKEN, rotate)).await;
            assert_eq!(again.unwrap().into_inner().bot.unwrap().id, id);
        }
        assert_eq!(rotations(&scene), usize::from(rotate));
        works(&mut scene, "again").await;
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_adoption_drops_no_events() {
    let mut scene = start(&[]).await;
    elsewhere(&scene).await;
    scene
        .bots
        .register_bot(adopting(TOKEN, false))
        .await
        .unwrap();
    scene.stop().await;
    sleep(Duration::from_secs(5)).await;
    scene.anna_types("/help while-away");
    sleep(Duration::from_secs(5)).await;
    scene.start_again().await;
    scene
        .bots
        .register_bot(adopting(TOKEN, false))
        .await
        .unwrap();
    let earliest = pb::StreamStart {
        position: Some(pb::stream_start::Position::Point(
            pb::StreamStartPoint::Earliest.into(),
        )),
    };
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            start: Some(earliest),
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    assert_eq!(stream.params().await, "while-away");
}

#[tokio::test(start_paused = true)]
async fn lost_store_finds_an_adopted_bot_that_got_a_token_of_ours() {
    let mut scene = start(&[]).await;
    let id = elsewhere(&scene).await;
    scene
        .bots
        .register_bot(adopting(TOKEN, true))
        .await
        .unwrap();
    scene.stop().await;
    fs::remove_dir_all(scene.folder().join("store")).unwrap();
    let keys = fs::read_to_string(scene.folder().join("keys")).unwrap();
    scene.set("store.keys", keys);
    scene.start_again().await;
    let found = scene.bots.register_bot(adopting(TOKEN, true)).await;
    assert_eq!(found.unwrap().into_inner().bot.unwrap().id, id);
    works(&mut scene, "found").await;
    assert_eq!(rotations(&scene), 1);
}

#[tokio::test(start_paused = true)]
async fn released_bot_can_be_adopted_again() {
    let mut scene = start(&[]).await;
    let id = scene.helper().await;
    release(&scene, TOKEN).await.unwrap();
    let adopted = scene.bots.register_bot(adopting(TOKEN, true)).await;
    assert_eq!(adopted.unwrap().into_inner().bot.unwrap().id, id);
    works(&mut scene, "back").await;
}

#[tokio::test(start_paused = true)]
async fn bot_whose_token_was_changed_elsewhere_is_adopted_with_that() {
    let mut scene = start(&[]).await;
    let id = scene.helper().await;
    let params = serde_json::json!({
        "botId": id, "botToken": token(&scene), "fields": {"botToken": TOKEN},
    });
    scene.call_elsewhere("imbot.v2.Bot.update", &params).await;
    sleep(Duration::from_secs(30)).await;
    scene
        .bots
        .register_bot(adopting(TOKEN, false))
        .await
        .unwrap();
    works(&mut scene, "back").await;
}

#[tokio::test(start_paused = true)]
async fn adoption_that_asks_for_what_the_portal_cannot_do_changes_nothing() {
    let mut scene = start(&[]).await;
    elsewhere(&scene).await;
    let old = serde_json::json!({"result": {"rest": 34}});
    scene.answer_next("imbot.v2.Revision.get", &old);
    let error = scene.bots.register_bot(adopting(TOKEN, true)).await;
    assert_eq!(
        told(&error.unwrap_err()),
        failure(
            Code::FailedPrecondition,
            "BOT_TOKEN_ROTATION_NOT_SUPPORTED",
            "no"
        )
    );
    assert!(super::status(&scene).await.is_empty());
}
