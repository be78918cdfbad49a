//! A bot's token is replaced, taken over and handed out without losing the bot (C17.2).

mod adoption;
mod release;
mod rotation;

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Effect;
use serde_json::{Value, json};
use tonic::Status;

use crate::scene::{Scene, answer, called, number};

/// The portal of these tests names its errors.
async fn start(settings: &[(&'static str, &str)]) -> Scene {
    let scene = Scene::with(settings).await;
    scene.errors_have_names();
    scene.events_are_whole();
    scene
}

async fn rotate(scene: &Scene) -> Result<(), Status> {
    let mut bots = scene.bots.clone();
    let request = pb::RotateBotTokenRequest {
        bot_code: "helper".to_owned(),
        ..pb::RotateBotTokenRequest::default()
    };
    bots.rotate_bot_token(request).await.map(drop)
}

async fn release(scene: &Scene, token: &str) -> Result<(), Status> {
    let mut bots = scene.bots.clone();
    let request = pb::ReleaseBotRequest {
        bot_code: "helper".to_owned(),
        new_token: token.to_owned(),
        ..pb::ReleaseBotRequest::default()
    };
    bots.release_bot(request).await.map(drop)
}

/// The token that the portal has.
fn token(scene: &Scene) -> String {
    scene.portal.bot_by_code("helper").unwrap().token.unwrap()
}

fn rotations(scene: &Scene) -> usize {
    let effects = scene.portal.journal().effects();
    let rotated = |effect: &&Effect| matches!(effect, Effect::TokenRotated { .. });
    effects.iter().filter(rotated).count()
}

/// Requests that the portal refused for the token of the bot.
fn refusals(scene: &Scene) -> Vec<String> {
    let requests = scene.portal.journal().requests().into_iter();
    let refused = requests.filter(|request| {
        let inner = request.answer.to_string();
        inner.contains("BOT_OWNERSHIP_ERROR")
    });
    refused.map(|request| request.method).collect()
}

/// Bots that the portal lists under a token.
async fn listed(scene: &Scene, token: &str) -> Vec<i64> {
    let params = json!({"botToken": token});
    let answer = scene.call_elsewhere("imbot.v2.Bot.list", &params).await;
    let bots = answer["result"]["bots"].as_array().cloned();
    let bots: Vec<Value> = bots.unwrap_or_default();
    bots.iter().filter_map(|bot| number(&bot["id"])).collect()
}

async fn status(scene: &Scene) -> Vec<pb::BotStatus> {
    let mut bots = scene.bots.clone();
    let listed = bots.list_bots(pb::ListBotsRequest::default()).await;
    let listed = listed.unwrap().into_inner().bots;
    listed.iter().map(pb::RegisteredBot::status).collect()
}

/// The bot hears a command and answers it.
async fn works(scene: &mut Scene, word: &str) {
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types(&format!("/help {word}"));
    // Heartbeats come for ever.
    let heard = tokio::time::timeout(Duration::from_secs(60), stream.event());
    let (_, event) = heard.await.unwrap();
    assert_eq!(called(&event).params, word);
    scene
        .bots
        .answer_command(answer(&event, word))
        .await
        .unwrap();
    assert_eq!(scene.texts().last().map(String::as_str), Some(word));
    assert_eq!(status(scene).await, [pb::BotStatus::Active], "{word}");
}
