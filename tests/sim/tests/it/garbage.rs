//! Whatever comes in over the wire, it is answered and nothing panics.
//!
//! The seeds are the samples of requests, answers and forms; they are changed byte by byte.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitrix24_sim::{ApplicationConfig, Control};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edits::{Edit, edit, edited};
use crate::world::{Answer, Client, World};

/// How often anything panicked in this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);
static WATCH: Once = Once::new();

fn watch_panics() {
    WATCH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            usual(info);
        }));
    });
}

/// All samples, with the ids of the world in place of theirs.
fn seeds(bot: i64, command: i64, message: i64) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind != "md"))
        .collect();
    paths.sort();
    let read = |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("456", &bot.to_string());
        let text = text.replace("\"commandId\": 78", &format!("\"commandId\": {command}"));
        let text = text.replace("\"messageId\": 789", &format!("\"messageId\": {message}"));
        text.into_bytes()
    };
    paths.iter().map(read).collect()
}

const METHODS: [&str; 37] = [
    "batch",
    "profile",
    "scope",
    "app.info",
    "method.get",
    "user.current",
    "events",
    "event.bind",
    "im.message.command",
    "im.v2.Event.get",
    "im.v2.Event.subscribe",
    "im.v2.Chat.Bot.sendContext",
    "imbot.v2.Bot.register",
    "imbot.v2.Bot.update",
    "imbot.v2.Bot.get",
    "imbot.v2.Bot.list",
    "imbot.v2.Command.register",
    "imbot.v2.Command.update",
    "imbot.v2.Command.list",
    "imbot.v2.Command.answer",
    "imbot.v2.Event.get",
    "imbot.v2.Chat.add",
    "imbot.v2.Chat.update",
    "imbot.v2.Chat.User.add",
    "imbot.v2.Chat.User.list",
    "imbot.v2.Chat.Manager.add",
    "imbot.v2.Chat.Message.send",
    "imbot.v2.Chat.Message.update",
    "imbot.v2.Chat.Message.delete",
    "imbot.v2.Chat.Message.read",
    "imbot.v2.Chat.Message.getContext",
    "imbot.v2.Chat.Message.Reaction.add",
    "imbot.v2.Chat.InputAction.notify",
    "no.such.method",
    "imbot.v2.File.upload",
    "im.v2.File.upload",
    "imbot.v2.File.download",
];

const MEDIA: [&str; 5] = [
    "application/json",
    "application/json; charset=utf-8",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
];

#[derive(Clone, Debug)]
struct Garbage {
    seed: Index,
    other: Index,
    edits: Vec<Edit>,
    verb: &'static str,
    media: &'static str,
    target: Index,
    in_query: bool,
}

fn garbage() -> impl Strategy<Value = Garbage> {
    let where_to = (any::<Index>(), any::<Index>(), any::<Index>());
    let how = (
        select(vec!["POST", "POST", "GET", "PUT", "PATCH", "DELETE"]),
        select(&MEDIA[..]),
    );
    (where_to, how, vec(edit(), 0..6), prop::bool::weighted(0.2)).prop_map(
        |((seed, other, target), (verb, media), edits, in_query)| Garbage {
            seed,
            other,
            edits,
            verb,
            media,
            target,
            in_query,
        },
    )
}

impl Garbage {
    /// Path, media type and body of this request to `path`.
    fn request(&self, seeds: &[Vec<u8>], path: &str) -> (String, &'static str, Vec<u8>) {
        let seed: &Vec<u8> = self.seed.get(seeds);
        let bytes = edited(seed, &self.edits);
        if !self.in_query {
            return (path.to_owned(), self.media, bytes);
        }
        let query = percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC);
        let query: String = query.to_string().chars().take(8_000).collect();
        // Names and values have to stay apart for a query to have any.
        let query = query.replace("%3D", "=").replace("%26", "&");
        let body = self.other.get(seeds).clone();
        (format!("{path}?{query}"), self.media, body)
    }
}

fn run<T>(act: impl Future<Output = T>) -> T {
    watch_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), act)
            .await
            .expect("an answer in a minute")
    })
}

/// Sends everything of one batch of garbage and expects an answer to each.
async fn answered(client: &Client, verb: &str, request: (String, &str, Vec<u8>)) -> Answer {
    let (path, media, body) = request;
    let answer = client.ask(verb, &path, media, body).await;
    answer.unwrap_or_else(|error| panic!("{verb} {path}: {error}"))
}

struct Stage {
    world: World,
    seeds: Vec<Vec<u8>>,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let fields = json!({"code": "a", "botToken": "my_bot_token", "type": "supervisor",
            "properties": {"name": "A"}});
        let made = world
            .call("imbot.v2.Bot.register", json!({"fields": fields}))
            .await;
        let bot = made.result()["bot"]["id"].as_i64().unwrap();
        let fields = json!({"command": "help", "title": {"en": "Help"}});
        let params = json!({"botId": bot, "botToken": "my_bot_token", "fields": fields});
        let made = world.call("imbot.v2.Command.register", params).await;
        let command = made.result()["command"]["id"].as_i64().unwrap();
        let message = world
            .portal
            .user(world.anna)
            .types_to_bot(bot, "/help")
            .unwrap();
        let client_id = world.portal.add_application(ApplicationConfig::default());
        let pair = world.portal.install(&client_id, 1).unwrap();
        Self {
            seeds: seeds(bot, command, message),
            token: pair.access_token,
            world,
        }
    }

    async fn is_well(&self) {
        self.world.call("profile", json!({})).await.result();
        assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn whatever_is_sent_to_a_portal_is_answered(all in vec(garbage(), 40)) {
        run(async {
            let stage = Stage::set().await;
            for garbage in &all {
                let method = METHODS[garbage.target.index(METHODS.len())];
                let base = if garbage.other.index(4) == 0 {
                    format!("/rest/{method}")
                } else {
                    format!("{}{method}", stage.world.base)
                };
                let (mut path, media, body) = garbage.request(&stage.seeds, &base);
                if path == base {
                    path = format!("{path}?auth={}", stage.token);
                }
                let answer = answered(&stage.world.client, garbage.verb, (path, media, body)).await;
                let told = answer.body.get("result").or(answer.body.get("error"));
                assert!(told.is_some(), "{}", answer.raw);
            }
            stage.is_well().await;
        });
    }

    #[test]
    fn whatever_is_sent_to_the_server_or_the_control_interface_is_answered(
        all in vec(garbage(), 40),
    ) {
        run(async {
            let stage = Stage::set().await;
            let control: Control = stage.world.sim.open_control(0).await.unwrap();
            let control = Client::new(&stage.world.sim, &control.address());
            let server = Client::new(&stage.world.sim, &stage.world.sim.oauth().address());
            for garbage in &all {
                let (path, seeds) = CONTROL[garbage.target.index(CONTROL.len())];
                let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
                if path.starts_with("/_sim") {
                    let request = garbage.request(&seeds, path);
                    let answer = answered(&control, garbage.verb, request).await;
                    assert!(answer.body.is_object(), "{}", answer.raw);
                } else {
                    let request = garbage.request(&seeds, path);
                    answered(&server, garbage.verb, request).await;
                }
            }
            assert_eq!(PANICS.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn bytes_that_are_no_http_harm_nobody(all in vec(vec(edit(), 1..6), 20)) {
        run(async {
            let stage = Stage::set().await;
            let (_, port) = stage.world.portal.plain_address().rsplit_once(':').map(
                |(host, port)| (host.to_owned(), port.parse::<u16>().unwrap()),
            ).unwrap();
            let seed = b"POST /rest/1/x/profile?a=1 HTTP/1.1\r\nHost: portal\r\n\
                Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
            for edits in &all {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                // A portal that has heard enough may hang up while we still speak.
                drop(stream.write_all(&edited(seed, edits)).await);
                drop(stream.shutdown().await);
                let mut answer = Vec::new();
                drop(stream.read_to_end(&mut answer).await);
            }
            stage.is_well().await;
        });
    }
}

/// Addresses beside those of a portal, and bodies that suit them.
const CONTROL: [(&str, &[&str]); 20] = [
    ("/_sim/v1/", &["{}"]),
    ("/_sim/v1/clock", &[r#"{"advance_ms": 5000, "scale": 2.5}"#]),
    (
        "/_sim/v1/portals",
        &[
            r#"{"language": "de", "revision": [33, 1, 2, 3], "limits": {"threshold": 5}, "quirks": {"ids": "strings"}, "owner": {"first_name": "A"}}"#,
        ],
    ),
    (
        "/_sim/v1/portals/1/users",
        &[r#"{"first_name": "A", "last_name": "B", "extranet": true}"#],
    ),
    (
        "/_sim/v1/portals/1/users/2/types",
        &[r#"{"dialog": "chat5001", "text": "/help [USER=3]x[/USER]"}"#],
    ),
    (
        "/_sim/v1/portals/1/users/2/presses",
        &[r#"{"message_id": 70001, "button": "x"}"#],
    ),
    (
        "/_sim/v1/portals/1/users/2/reacts",
        &[r#"{"message_id": 70001, "reaction": "like"}"#],
    ),
    (
        "/_sim/v1/portals/1/chats",
        &[r#"{"title": "T", "members": [1, 2, 3]}"#],
    ),
    (
        "/_sim/v1/portals/1/chats/5001/bots",
        &[r#"{"bot_id": 3, "by_user": 1}"#],
    ),
    (
        "/_sim/v1/portals/1/faults",
        &[
            r#"{"kind": "raw", "status": 302, "headers": {"a": "b"}, "body": "x", "times": 2}"#,
            r#"{"kind": "drip", "bytes": 3, "pause_ms": 1, "when": "after"}"#,
        ],
    ),
    (
        "/_sim/v1/portals/1/quirks",
        &[r#"{"ids": "strings", "event_id_gap": 9}"#],
    ),
    (
        "/_sim/v1/portals/1/limits",
        &[r#"{"threshold": 5, "operating": "ban", "operating_limit_ms": 10}"#],
    ),
    (
        "/_sim/v1/portals/1/condition",
        &[r#"{"condition": "closed"}"#],
    ),
    ("/_sim/v1/portals/1/rename", &["{}"]),
    (
        "/_sim/v1/portals/1/deliveries/release",
        &[r#"{"reversed": true, "copies": 3}"#],
    ),
    (
        "/_sim/v1/portals/1/applications",
        &[r#"{"client_id": "app.a", "scopes": ["im"], "handler_url": "http://127.0.0.1:1/"}"#],
    ),
    (
        "/_sim/v1/portals/1/applications/app.a/install",
        &[r#"{"user_id": 1}"#],
    ),
    ("/_sim/v1/portals/1/journal/requests", &["method=profile"]),
    (
        "/oauth/token/",
        &["grant_type=refresh_token&client_id=a&client_secret=b&refresh_token=c&scope=im"],
    ),
    ("/rest/app.info", &["auth=abc"]),
];
