//! The same answers by a program that calls Bitrix24 itself.

use std::{path::Path, time::Duration};

use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{common::Outcome, https, roles, scene::ANSWER, times::percentile};

/// A token of the usual length.
const BOT_TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// Its own bot, so that the gateway's is left alone. Registering it again does nothing.
const BOT_CODE: &str = "direct_bot";

/// Calls, and tells the middle one of the latencies in seconds.
pub(crate) async fn run(portal: &str, ca_file: &Path, callers: &str, each: &str) -> Outcome<()> {
    let each: usize = each.parse()?;
    let client = https::client(ca_file)?;
    let direct = Direct {
        client,
        portal: portal.to_owned(),
    };
    let answer = direct.prepare().await?;
    let mut calling = JoinSet::new();
    for _ in 0..callers.parse()? {
        let (direct, answer) = (direct.clone(), answer.clone());
        calling.spawn(async move {
            // The first one makes the connection.
            direct.call(ANSWER, &answer).await?;
            let mut latencies = Vec::new();
            for _ in 0..each {
                let began = Instant::now();
                direct.call(ANSWER, &answer).await?;
                latencies.push(began.elapsed());
            }
            Outcome::Ok(latencies)
        });
    }
    let mut latencies: Vec<Duration> = Vec::new();
    while let Some(ended) = calling.join_next().await {
        latencies.extend(ended??);
    }
    latencies.sort_unstable();
    roles::tell(&percentile(&latencies, 50).as_secs_f64().to_string());
    Ok(())
}

#[derive(Clone)]
struct Direct {
    client: Client,
    portal: String,
}

impl Direct {
    /// Makes a bot, a command and a message; the parameters of an answer to it.
    async fn prepare(&self) -> Outcome<Value> {
        let bot = json!({"fields": {
            "code": BOT_CODE, "botToken": BOT_TOKEN, "properties": {"name": "Direct Bot"},
        }});
        let bot = self.call("imbot.v2.Bot.register", &bot).await?;
        let bot_id = &bot["bot"]["id"];
        let command = json!({
            "botId": bot_id, "botToken": BOT_TOKEN,
            "fields": {"command": "weather", "title": {"en": "Weather"}},
        });
        let command = self.call("imbot.v2.Command.register", &command).await?;
        let message = json!({
            "botId": bot_id, "botToken": BOT_TOKEN, "dialogId": "1",
            "fields": {"message": "Good morning"},
        });
        let message = self.call("imbot.v2.Chat.Message.send", &message).await?;
        Ok(json!({
            "botId": bot_id, "botToken": BOT_TOKEN,
            "commandId": command["command"]["id"], "messageId": message["id"], "dialogId": "1",
            "fields": {"message": "Berlin: 14 degrees, light rain until the evening"},
        }))
    }

    /// Calls a method, which must give a result.
    async fn call(&self, method: &str, params: &Value) -> Outcome<Value> {
        let response = self
            .client
            .post(format!("{}{method}", self.portal))
            .header(CONTENT_TYPE, "application/json")
            .body(params.to_string())
            .send()
            .await?;
        let body = response.bytes().await?;
        let mut answer: Value = serde_json::from_slice(&body)?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(format!("{method}: {answer}").into()),
        }
    }
}
