// A bot that adds: somebody types `/sum 2 3` in a Bitrix24 chat, and it answers `2 + 3 = 5`; `/slow 2 3` takes a while.
//
// It keeps nothing itself, may be killed at any moment, and may run any number of times. The gateway hands each command
// to one of these workers, and again to another one until it is answered; of all their answers at most one is posted.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";

const BOT = "example-node";
const subscription = { name: process.env.SUBSCRIPTION ?? BOT, maxOutstandingEvents: 10 }; // shared by all workers
const COMMANDS = { sum: "Add", slow: "Add slowly" };
const OPTIONS = {
  "grpc.service_config": readFileSync(new URL("../service-config.json", import.meta.url), "utf8"),
  "grpc.max_reconnect_backoff_ms": 10_000, // gRPC's own is two minutes
  "grpc.keepalive_time_ms": 30_000, // notices a connection that died silently
};
// Worth another try: this bot makes no call that must not be repeated.
const PASSING = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN"];
const passes = (error) => PASSING.includes(grpc.status[error.code]);

const files = ["bots", "events", "server"].map((name) => `bitrix24/gateway/v1/${name}.proto`); // no generated code
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const definition = loadSync(files, { includeDirs, defaults: true, enums: String, oneofs: true });
const { BotService, EventService, ServerService } = grpc.loadPackageDefinition(definition).bitrix24.gateway.v1;

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

async function register() { // safe to repeat at every start
  log("gateway", (await call(server, "getServerInfo", {})).version);
  const own = { botCode: BOT, ifExists: "IF_EXISTS_CONVERGE" };
  await call(bots, "registerBot", { ...own, properties: { name: "Adder" } });
  for (const [command, title] of Object.entries(COMMANDS)) {
    await call(bots, "registerCommand", { ...own, command, title: { en: title }, params: { en: "1 2" } });
  }
  return true;
}

// Posts the answer, or progress. At most one answer is posted, so this is tried until the outcome is certain.
async function post({ event: { traceContext }, delivery: { ackId } }, text, final = true) {
  for (let tries = 0; ; tries += 1) {
    try {
      const options = { traceparent: traceContext?.traceparent, deadline: Date.now() + 30_000 }; // see ../README.md
      const { outcome } = await call(bots, "answerCommand", { ackId, content: { text }, final }, options);
      return log(ackId, outcome);
    } catch (error) { // e.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change
      if (!["no", "?"].includes(explain(error)) || !passes(error)) throw error;
    }
    await pause(tries);
  }
}

async function handle(item, { command, params }, { ackId }) {
  try {
    if (!Object.hasOwn(COMMANDS, command)) return await call(events, "acknowledgeEvents", { ackIds: [ackId] });
    if (command === "slow") {
      await post(item, "One moment ...", false);
      await sleep(3000);
    }
    const words = params.split(/\s+/).filter(Boolean);
    const adds = words.length > 0 && words.every((word) => /^-?[0-9]{1,100}$/.test(word));
    const sum = () => words.map(BigInt).reduce((a, b) => a + b);
    await post(item, adds ? `${words.join(" + ")} = ${sum()}` : "I add whole numbers: /sum 2 3");
  } catch (error) {
    log(ackId, "is given back: it comes again, or is set aside for somebody to look at", error);
    await call(events, "modifyAckDeadlines", { ackIds: [ackId], ackDeadline: {} }).catch(explain);
  }
}

for (const name of ["SIGTERM", "SIGINT"]) process.once(name, () => (log("stopped"), process.exit(0)));
const address = process.argv[2] ?? process.env.GATEWAY ?? "127.0.0.1:50051";
const [bots, events, server] = [BotService, EventService, ServerService].map(
  (Service) => new Service(address, grpc.credentials.createInsecure(), OPTIONS));
for (let [registered, tries] = [false, 0]; ; tries += 1) {
  try {
    registered ||= await register();
    const ready = new grpc.Metadata({ waitForReady: true });
    const stream = bots.subscribeCommandEvents({ botCodes: [BOT], subscription }, ready);
    for await (const { item, event, gap, delivery } of stream) { // ends only with an error
      if (item === "event") handle({ event, delivery }, event.commandAdded.command, delivery); // not awaited
      if (item === "gap") log("commands may be missing:", gap);
      tries = 0;
    }
  } catch (error) {
    explain(error);
    if (!passes(error)) process.exit(1);
  }
  await pause(tries);
}
