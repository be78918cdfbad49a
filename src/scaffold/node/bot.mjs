// A Bitrix24 bot: somebody types `/hello World` in a chat, and it answers `Hello, World!`.
//
// It keeps nothing itself, may be killed at any moment, and may run any number of times: the gateway hands each command
// to one of these workers, and again to another one until it is answered. Of all their answers at most one is posted.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";

const BOT = "@BOT@"; // names the bot for good, in the whole portal
const NAME = "@NAME@"; // what people see
const COMMANDS = { hello: "Say hello" };

// What the bot says to a command.
async function answer(command, params) {
  return `Hello, ${params || "World"}!`;
}

const subscription = { name: BOT, maxOutstandingEvents: 10 }; // shared by all workers
const OPTIONS = {
  "grpc.service_config": readFileSync(new URL("service-config.json", import.meta.url), "utf8"), // repeats what is safe
  "grpc.max_reconnect_backoff_ms": 10_000,
  "grpc.keepalive_time_ms": 30_000,
};
// Worth another try: this bot makes no call that must not be repeated.
const PASSING = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN"];
const passes = (error) => PASSING.includes(grpc.status[error.code]);
let stopping = false;

const files = ["bots", "events"].map((name) => `bitrix24/gateway/v1/${name}.proto`); // no generated code
const includeDirs = [fileURLToPath(new URL("proto", import.meta.url))];
const definition = loadSync(files, { includeDirs, defaults: true, enums: String, oneofs: true });
const { BotService, EventService } = grpc.loadPackageDefinition(definition).bitrix24.gateway.v1;

// How gRPC packs the details of an error (google.rpc.Status); of all kinds of details only the one used here.
const { Status, ErrorInfo } = protobuf.parse(`syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`).root.nested;

const log = (...words) => console.error(new Date().toISOString(), ...words);

// Logs why a call failed, with the reason, a name of `ErrorReason` in errors.proto. Says whether it was executed.
function explain(error) {
  if (!(error.code in grpc.status)) throw error; // not of gRPC
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = packed ? Status.decode(packed).details : []; // none when the gateway did not answer at all
  const found = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  const { reason, metadata } = found ? ErrorInfo.decode(found.value) : { reason: "-", metadata: {} };
  log(grpc.status[error.code], reason, `executed=${metadata.executed ?? "?"}: ${error.details}`);
  return metadata.executed ?? "?";
}

const pause = (tries) => sleep(Math.min(2 ** tries, 30) * (500 + 500 * Math.random())); // not the same for all

// A unary call. Waiting for a connection is asked for here: grpc-js does not take it from the service config.
const call = (client, method, request, { traceparent, ...options } = {}) => {
  const metadata = new grpc.Metadata({ waitForReady: true });
  if (traceparent) metadata.set("traceparent", traceparent); // the call belongs to the trace of its event
  return promisify(client[method]).call(client, request, metadata, options);
};

// Makes sure that bot and commands exist; safe to repeat at every start.
async function register() {
  const own = { botCode: BOT, ifExists: "IF_EXISTS_CONVERGE" };
  await call(bots, "registerBot", { ...own, properties: { name: NAME } });
  for (const [command, title] of Object.entries(COMMANDS)) {
    await call(bots, "registerCommand", { ...own, command, title: { en: title } });
  }
  log(BOT, "is ready");
  return true;
}

// Posts the answer. At most one is posted, so this is tried until the outcome is certain.
async function post({ event: { traceContext }, delivery: { ackId } }, text) {
  for (let tries = 0; ; tries += 1) {
    try {
      const options = { traceparent: traceContext?.traceparent, deadline: Date.now() + 30_000 };
      const { outcome } = await call(bots, "answerCommand", { ackId, content: { text } }, options);
      return log(outcome);
    } catch (error) { // e.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change
      if (!["no", "?"].includes(explain(error)) || !passes(error) || stopping) throw error;
    }
    await pause(tries);
  }
}

async function handle(item) {
  const { command, params } = item.event.commandAdded.command;
  const { ackId } = item.delivery;
  try {
    if (Object.hasOwn(COMMANDS, command)) await post(item, await answer(command, params));
    else await call(events, "acknowledgeEvents", { ackIds: [ackId] }); // of another version of this bot
  } catch (error) {
    log("given back: it comes again, or is set aside for somebody to look at", error);
    await call(events, "modifyAckDeadlines", { ackIds: [ackId], ackDeadline: {} }).catch(explain);
  }
}

const address = process.env.GATEWAY ?? "127.0.0.1:50051";
const [bots, events] = [BotService, EventService].map(
  (Service) => new Service(address, grpc.credentials.createInsecure(), OPTIONS));
const inHand = new Set(); // promises of the commands that are not answered yet
for (const name of ["SIGTERM", "SIGINT"]) {
  process.once(name, async () => {
    stopping = true;
    log("stopping: what is in hand is finished first");
    await Promise.allSettled(inHand);
    log("stopped");
    process.exit(0);
  });
}

for (let [registered, tries] = [false, 0]; ; tries += 1) {
  try {
    registered ||= await register();
    const ready = new grpc.Metadata({ waitForReady: true });
    const stream = bots.subscribeCommandEvents({ botCodes: [BOT], subscription }, ready);
    for await (const item of stream) { // ends only with an error
      if (item.item === "event") {
        const handled = handle(item).finally(() => inHand.delete(handled)); // not awaited: the next one may come
        inHand.add(handled);
      }
      if (item.item === "gap") log("commands may be missing:", item.gap);
      tries = 0;
    }
  } catch (error) {
    explain(error);
    if (!passes(error)) process.exit(1);
  }
  await pause(tries);
}
