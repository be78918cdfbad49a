//! What strangers post, and what portals post for others.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bitrix24_gateway::proto::v1 as pb;
use serde_json::{Value, json};

use super::place::{By, Place, commands, with};
use crate::{http::browser, http::site::FORM, log::log_into, scene::until};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const TOKEN: &str = "auth[application_token]";
const BOT: &str = "data[bot][id]";

/// A form as the same in JSON, as far as it is needed.
fn as_json(form: &str, change: impl FnOnce(&mut Value)) -> String {
    let find = |name: &str| {
        let mut pairs = form_urlencoded::parse(form.as_bytes());
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    };
    let mut body = json!({
        "event": find("event"),
        "ts": find("ts"),
        "data": {"bot": {"id": find(BOT)}, "command": {"command": "/help", "params": "json"}},
        "auth": {"application_token": find(TOKEN), "member_id": find("auth[member_id]")},
    });
    change(&mut body);
    body.to_string()
}

#[tokio::test(start_paused = true)]
async fn forged_and_hostile_bodies_leave_no_trace_in_the_log_and_the_genuine_one_does() {
    for by in [By::Webhook, By::OAuth] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let _logged = log_into(subscriber);
        let mut place = Place::with_bot(by).await;
        // Another bot, in the same way, to see whose token opens what.
        let other = pb::RegisterBotRequest {
            bot_code: "other".to_owned(),
            event_mode: pb::EventMode::Webhook.into(),
            ..crate::scene::helper()
        };
        place.scene.bots.register_bot(other).await.unwrap();
        let other = place.scene.portal.bot_by_code("other").unwrap();
        let genuine = place.unheard("/help hush-content").await;
        let before = place.log();
        let token = form_urlencoded::parse(genuine.as_bytes())
            .find(|(name, _)| name == TOKEN)
            .unwrap();
        let token = token.1.into_owned();

        let half = &token[..token.len() - 1];
        let decoy = with(&genuine, TOKEN, "");
        let decoy = with(&decoy, "data[bot][auth][application_token]", &token);
        let deep = format!("{genuine}&data{}=1", "[a]".repeat(40));
        let many = format!("{genuine}{}", "&x[]=1".repeat(20_000));
        let mut forms = vec![
            ("no token", with(&genuine, TOKEN, "")),
            ("half a token", with(&genuine, TOKEN, half)),
            (
                "a longer token",
                with(&genuine, TOKEN, &format!("{token}x")),
            ),
            (
                "token in another case",
                with(&genuine, TOKEN, &token.to_uppercase()),
            ),
            (
                "token as a list",
                genuine.replace("application_token%5D", "application_token%5D%5B%5D"),
            ),
            ("the decoy", decoy),
            (
                "the last of two tokens",
                format!("{genuine}&auth%5Bapplication_token%5D=forged"),
            ),
            (
                "nothing but a text as auth",
                format!("{genuine}&auth={token}"),
            ),
            ("unknown bot", with(&genuine, BOT, "999999")),
            ("no bot", with(&genuine, BOT, "")),
            ("bot as a list", with(&genuine, "data[bot][id][0]", "1")),
            (
                "bot beyond numbers",
                with(&genuine, BOT, "99999999999999999999999"),
            ),
            ("no event", with(&genuine, "event", "")),
            ("no data", with(&genuine, "data", "x")),
            ("too deep", deep),
            ("too many", many),
            ("empty", String::new()),
            ("noise", "\u{0}\u{1}%%%[[[]]]=&=&&".to_owned()),
        ];
        match by {
            By::Webhook => forms.push((
                "token of another bot",
                with(&genuine, BOT, &other.id.to_string()),
            )),
            By::OAuth => {
                let account = with(
                    &genuine,
                    "auth[member_id]",
                    "0123456789abcdef0123456789abcdef",
                );
                forms.push(("token of another account", account));
            }
        }
        for (what, form) in &forms {
            assert_eq!(place.post(form).await, 403, "{by:?}: {what}");
        }
        let nested = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for (what, body) in [
            (
                "JSON without auth",
                as_json(&genuine, |body| body["auth"] = json!(null)),
            ),
            (
                "token as a number",
                as_json(&genuine, |body| {
                    body["auth"]["application_token"] = json!(5)
                }),
            ),
            (
                "token as an object",
                as_json(&genuine, |body| {
                    body["auth"]["application_token"] = json!({"0": token})
                }),
            ),
            ("deep JSON", nested),
            ("cut JSON", as_json(&genuine, |_| ())[1..].to_owned()),
        ] {
            assert_eq!(
                place.post_as("application/json", &body).await,
                403,
                "{by:?}: {what}"
            );
        }
        for media in ["text/plain", "multipart/form-data; boundary=x", ""] {
            assert_eq!(place.post_as(media, &genuine).await, 403, "{media}");
        }
        let long = format!("{genuine}&x={}", "y".repeat(1 << 20));
        assert_eq!(place.post(&long).await, 413);
        let path = place.path();
        for path in [
            path[..path.len() - 1].to_owned(),
            format!("{path}/"),
            format!("{path}x"),
            path.to_lowercase(),
            "/bitrix24/bots/".to_owned(),
            "/bitrix24/bots/helper".to_owned(),
        ] {
            let answer = browser::post(place.scene.http(), &path, FORM, &genuine).await;
            assert_eq!((answer.status, answer.body.as_str()), (404, ""));
            assert_eq!(answer.headers(), ["connection", "content-length", "date"]);
        }
        assert_eq!(place.log(), before, "{by:?}");

        assert_eq!(place.post(&genuine).await, 200);
        assert_eq!(place.log().len(), before.len() + 1);
        let json = as_json(&genuine, |_| ());
        assert_eq!(
            place
                .post_as("application/json; charset=utf-8", &json)
                .await,
            200
        );
        let mut stream = place.stream().await;
        assert_eq!(commands(&mut stream, 2).await, ["hush-content", "json"]);
        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        for secret in ["hush-content", &token, &path["/bitrix24/bots/".len()..]] {
            assert!(!logged.contains(secret), "{by:?}: {secret}");
        }
        assert!(logged.contains("it does not prove itself"));
    }
}

#[tokio::test(start_paused = true)]
async fn event_of_one_bot_at_the_address_of_another_is_that_bots() {
    for by in [By::Webhook, By::OAuth] {
        let mut place = Place::with_bot(by).await;
        let other = pb::RegisterBotRequest {
            bot_code: "other".to_owned(),
            event_mode: pb::EventMode::Webhook.into(),
            ..crate::scene::helper()
        };
        place.scene.bots.register_bot(other).await.unwrap();
        let genuine = place.unheard("/help me").await;
        let url = place.scene.portal.bot_by_code("other").unwrap().webhook_url;
        let path = url.strip_prefix(&place.ingress.url).unwrap();
        let answer = browser::post(place.scene.http(), path, FORM, &genuine).await;
        assert_eq!(answer.status, 200);
        assert_eq!(place.post(&genuine).await, 200, "and once more at its own");
        let mut stream = place.stream().await;
        let (_, event) = stream.event().await;
        assert_eq!(event.bot_code, "helper");
        assert_eq!(place.logged("ONIMBOTV2COMMANDADD"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_for_a_bot_that_is_fetched_or_forgotten() {
    let mut place = Place::with_bot(By::Webhook).await;
    let genuine = place.unheard("/help").await;
    let path = place.path();
    place.update(pb::EventMode::Fetch).await.unwrap();
    let at = place.scene.http();
    assert_eq!(
        browser::post(at, &path, FORM, &genuine).await.status,
        200,
        "it comes late"
    );
    tokio::time::sleep(std::time::Duration::from_secs(11 * 60)).await;
    let later = with(&genuine, "ts", "1795169999");
    assert_eq!(browser::post(at, &path, FORM, &later).await.status, 403);
    let request = pb::UnregisterBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::UnregisterBotRequest::default()
    };
    place.scene.bots.unregister_bot(request).await.unwrap();
    assert_eq!(browser::post(at, &path, FORM, &later).await.status, 404);
    assert_eq!(place.logged("ONIMBOTV2COMMANDADD"), 1);
}

#[tokio::test(start_paused = true)]
async fn both_tokens_count_while_one_takes_the_place_of_the_other() {
    let mut place = Place::with_bot(By::Webhook).await;
    let old = place.unheard("/help old").await;
    let portal = place.scene.portal.clone();
    let mut bots = place.scene.bots.clone();
    // It is done, and nobody hears of it for a while.
    let fault = bitrix24_sim::Fault::latency(std::time::Duration::from_secs(5)).after_effect();
    portal.faults().on("imbot.v2.Bot.update", fault);
    let before = portal.bot_by_code("helper").unwrap().token;
    let rotating = tokio::spawn(async move {
        let request = pb::RotateBotTokenRequest {
            bot_code: "helper".to_owned(),
            ..pb::RotateBotTokenRequest::default()
        };
        bots.rotate_bot_token(request).await
    });
    until("the token is replaced", || {
        portal.bot_by_code("helper").unwrap().token != before
    })
    .await;
    assert_eq!(place.post(&old).await, 200);
    place.scene.anna_types("/help new");
    let mut stream = place.stream().await;
    assert_eq!(commands(&mut stream, 2).await, ["old", "new"]);
    rotating.await.unwrap().unwrap();
    place.scene.anna_types("/help after");
    assert_eq!(stream.params().await, "after");
    let older = with(&old, "ts", "1795169999");
    assert_eq!(
        place.post(&older).await,
        403,
        "a token that was replaced proves nothing"
    );
}
