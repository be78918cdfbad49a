//! What `docs/moving.md` says of a loop that moves behind the gateway, done as it stands there.

use std::{fs, process::Stdio};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_client::BotServiceClient,
    subscribe_command_events_response::Item,
};
use tokio::{process::Command, time::timeout};

use crate::{
    portal::{PATIENCE, World, until},
    tools::{PYTHON, Workshop},
};

const PAGE: &str = include_str!("../../docs/moving.md");
const TOKEN: &str = "the token that the loop used";

/// Registers a bot by REST, answers what it fetches, and notes what it answered; the way it was.
const LOOP: &str = r#"
import json, os, ssl, time, urllib.request
webhook, token = os.environ["WEBHOOK"], os.environ["TOKEN"]
trusted = ssl.create_default_context(cafile="ca.pem")

def rest(method, **params):
    body = json.dumps(params | {"botToken": token}).encode()
    request = urllib.request.Request(webhook + method, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, context=trusted) as answer:
        return json.load(answer)["result"]

fields = {"code": "weather", "properties": {"name": "Weather"}, "eventMode": "fetch", "botToken": token}
bot = rest("imbot.v2.Bot.register", fields=fields)["bot"]["id"]
for command in ("weather", "forecast"):
    rest("imbot.v2.Command.register", botId=bot, fields={"command": command, "title": {"en": command}})
offset = 0
while True:
    page = rest("imbot.v2.Event.get", botId=bot, offset=offset)
    for event in page["events"]:
        if event["type"] == "ONIMBOTV2COMMANDADD":
            data = event["data"]
            rest("imbot.v2.Command.answer", botId=bot, commandId=data["command"]["id"],
                 messageId=data["message"]["id"], dialogId=data["chat"]["dialogId"],
                 fields={"message": "loop: " + data["command"]["params"]})
        with open("handled", "w") as note:
            note.write(str(event["eventId"]))
    offset = page["nextOffset"]
    time.sleep(0.1)
"#;

/// The text between a mark and the end of its block.
fn block(mark: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(mark).unwrap();
    rest.split("```").next().unwrap()
}

#[tokio::test]
async fn loop_that_moves_as_the_documentation_says_answers_nothing_twice_and_leaves_nothing_out() {
    let workshop = Workshop::of(PYTHON).await;
    let world = World::start("weather").await;
    let script = world.folder().join("loop.py");
    fs::write(&script, LOOP).unwrap();
    let webhook = world.webhook_url();
    let start = || {
        let known = [("WEBHOOK", webhook.as_str()), ("TOKEN", TOKEN)];
        workshop.start_script(&script, world.address(), world.folder(), &known)
    };
    let mut before = start();
    world.wait_for_commands(&mut before).await;
    world.types("/weather Berlin");
    world.wait_for_answer("loop: Berlin", &mut before).await;
    // It notes an event once it has answered it.
    let noted = || fs::read_to_string(world.folder().join("handled")).unwrap_or_default();
    until("the event is noted", &mut before, || !noted().is_empty()).await;
    before.terminate().await;
    world.types("/weather Paris");

    let adopt = block("```json\n");
    assert!(adopt.contains(TOKEN) && adopt.contains("4711"), "{adopt}");
    fs::write(
        world.folder().join("adopt.json"),
        adopt.replace("4711", &noted()),
    )
    .unwrap();
    let words: Vec<_> = block("```sh\n").split_whitespace().collect();
    let ["bitrix24-gateway", arguments @ ..] = &words[..] else {
        panic!("{words:?}");
    };
    let calling = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"))
        .args(arguments)
        .args(["--address", &format!("http://{}", world.address())])
        .current_dir(world.folder())
        .env_clear()
        .stdin(Stdio::null())
        .output();
    let called = timeout(PATIENCE, calling).await.unwrap().unwrap();
    assert!(called.status.success(), "{called:?}");

    let address = format!("http://{}", world.address());
    let mut bots = BotServiceClient::connect(address).await.unwrap();
    let request = pb::SubscribeCommandEventsRequest {
        bot_codes: vec!["weather".to_owned()],
        subscription: Some(pb::NamedSubscription {
            name: "weather".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let mut stream = bots
        .subscribe_command_events(request)
        .await
        .unwrap()
        .into_inner();
    let first = async {
        loop {
            let item = stream.message().await.unwrap().unwrap();
            if let (Some(Item::Event(event)), Some(delivery)) = (item.item, item.delivery) {
                return (event, delivery.ack_id);
            }
        }
    };
    let (event, ack_id) = timeout(PATIENCE, first).await.unwrap();
    assert!(format!("{event:?}").contains("Paris"), "{event:?}");
    let answer = pb::AnswerCommandRequest {
        target: Some(Target::AckId(ack_id)),
        content: Some(pb::MessageContent {
            text: "gateway: Paris".to_owned(),
            ..pb::MessageContent::default()
        }),
        ..pb::AnswerCommandRequest::default()
    };
    bots.answer_command(answer).await.unwrap();
    assert_eq!(world.answers(), ["loop: Berlin", "gateway: Paris"]);

    // Whoever starts the loop again by mistake gets nothing.
    let mut again = start();
    assert!(!again.ended().await.success());
    assert!(again.log().contains("HTTP Error"), "{}", again.log());
    drop(stream);
    world.stop().await;
}
