//! What the README shows of bots, run as it stands there, behind the lines that a reader has to think of.

use std::fs;

use crate::{
    portal::World,
    tools::{Language, NODE, PYTHON, Workshop},
};

pub(crate) const README: &str = include_str!("../../README.md");

const PYTHON_BEFORE: &str = r#"
import os, sys, threading, time
import grpc
sys.path.append(os.environ["EXAMPLE"] + "/gen")
from bitrix24.gateway.v1 import bots_pb2 as pb, bots_pb2_grpc

bots = bots_pb2_grpc.BotServiceStub(grpc.insecure_channel(os.environ["GATEWAY"]))
bots.RegisterBot(pb.RegisterBotRequest(bot_code="adder", properties={"name": "Adder"}), timeout=30)
for name in ("sum", "slow"):
    bots.RegisterCommand(pb.RegisterCommandRequest(bot_code="adder", command=name, title={"en": name}), timeout=30)
pause = 0.1
work = lambda command: f"{command.command} of {command.params}"
"#;

const NODE_BEFORE: &str = r#"
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
const require = createRequire(process.env.EXAMPLE + "/");
const grpc = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");
const options = { includeDirs: [process.env.PROTO], defaults: true, enums: String, oneofs: true };
const loaded = grpc.loadPackageDefinition(loadSync("bitrix24/gateway/v1/bots.proto", options));
const bots = new loaded.bitrix24.gateway.v1.BotService(process.env.GATEWAY, grpc.credentials.createInsecure());
const call = (method, request) => promisify(bots[method]).call(bots, request);
const answerCommand = (request) => call("answerCommand", request);
await call("registerBot", { botCode: "adder", properties: { name: "Adder" } });
for (const command of ["sum", "slow"]) await call("registerCommand", { botCode: "adder", command, title: { en: command } });
const pause = 100;
const work = async (command) => `${command.command} of ${command.params}`;
"#;

/// The block of a page, begun by this mark, that holds these words.
pub(crate) fn shown(page: &'static str, mark: &str, words: &str) -> &'static str {
    let blocks = page.split(mark).skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(words)).unwrap()
}

async fn bot_of_the_readme_answers(language: Language, name: &str, script: String) {
    let workshop = Workshop::of(language).await;
    let world = World::start("adder").await;
    let path = world.folder().join(name);
    fs::write(&path, script).unwrap();
    let mut bot = workshop.start_script(&path, world.address(), world.folder(), &[]);
    world.wait_for_commands(&mut bot).await;
    world.types("/sum 2 3");
    world.wait_for_answer("sum of 2 3", &mut bot).await;
    assert_eq!(world.answers(), ["One moment ...", "sum of 2 3"]);
    bot.kill().await;
    world.stop().await;
}

#[tokio::test]
async fn python_bot_of_the_readme_answers_after_telling_progress() {
    let block = shown(README, "```python\n", "SUBSCRIPTION");
    bot_of_the_readme_answers(PYTHON, "readme.py", format!("{PYTHON_BEFORE}{block}")).await;
}

#[tokio::test]
async fn node_bot_of_the_readme_answers_after_telling_progress() {
    let block = shown(README, "```js\n", "subscription");
    bot_of_the_readme_answers(NODE, "readme.mjs", format!("{NODE_BEFORE}{block}")).await;
}

#[tokio::test]
async fn answer_of_the_readme_goes_on_with_the_trace_of_its_event() {
    let block = shown(README, "```python\n", "trace =");
    let script = format!(
        "{PYTHON_BEFORE}\
         stream = bots.SubscribeCommandEvents(pb.SubscribeCommandEventsRequest(bot_codes=['adder']))\n\
         item = next(item for item in stream if item.HasField('event'))\n\
         request = pb.AnswerCommandRequest(event_id=item.event.event_id, content={{'text': 'sum of 2 3'}})\n\
         bots.AnswerCommand(pb.AnswerCommandRequest(\n\
             event_id=item.event.event_id, content={{'text': 'One moment ...'}}, final=False))\n\
         {block}\
         assert trace[0][1].startswith('00-'), trace\n\
         time.sleep(60)\n"
    );
    bot_of_the_readme_answers(PYTHON, "readme.py", script).await;
}
