// A bot that adds: somebody types `/sum 2 3` in a Bitrix24 chat, and it answers `2 + 3 = 5`.
//
// It may be killed at any moment. After each command it notes its place in the stream of commands, and begins
// there next time. Killed between an answer and the note, it sees the same command again; but an answer that
// names its event is posted at most once, and the gateway says ALREADY_ANSWERED to the second.

import { existsSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";

const BOT = "example-node";
const PLACE = `${BOT}.cursor`; // in the current folder, which has to survive a restart
const OPTIONS = {
  "grpc.service_config": readFileSync(new URL("../service-config.json", import.meta.url), "utf8"),
  "grpc.max_reconnect_backoff_ms": 10_000, // gRPC's own is two minutes
  "grpc.keepalive_time_ms": 30_000, // notices a connection that died silently
};
// Worth another try: this bot makes no call that must not be repeated.
const PASSING = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN"];

// The service from the proto files themselves, without generated code.
const files = ["bots", "server"].map((name) => `bitrix24/gateway/v1/${name}.proto`);
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const definition = loadSync(files, { includeDirs, defaults: true, enums: String, oneofs: true });
const { BotService, ServerService } = grpc.loadPackageDefinition(definition).bitrix24.gateway.v1;

// How gRPC packs the details of an error (google.rpc.Status); of all kinds of details only the one used here.
const { Status, ErrorInfo } = protobuf.parse(`syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`).root.nested;

const log = (...words) => console.error(new Date().toISOString(), ...words);

// Logs why a call failed and returns the gateway's reason, a name of `ErrorReason` in errors.proto.
function explain(error) {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = packed ? Status.decode(packed).details : []; // none when the gateway did not answer at all
  const found = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  const { reason, metadata } = found ? ErrorInfo.decode(found.value) : { reason: "", metadata: {} };
  log(grpc.status[error.code], reason || "-", `executed=${metadata.executed ?? "unknown"}: ${error.details}`);
  return reason;
}

// A unary call. Waiting for a connection is asked for here: grpc-js does not take it from the service config.
const call = (client, method, request, options = {}) =>
  promisify(client[method]).call(client, request, new grpc.Metadata({ waitForReady: true }), options);

// Makes sure that bot and command are as described here. Safe to repeat at every start.
async function register(server, bots) {
  log("gateway", (await call(server, "getServerInfo", {})).version);
  const own = { botCode: BOT, ifExists: "IF_EXISTS_CONVERGE" };
  await call(bots, "registerBot", { ...own, properties: { name: "Adder" } });
  await call(bots, "registerCommand", { ...own, command: "sum", title: { en: "Add" }, params: { en: "numbers" } });
}

// Opens the stream after the noted place, else with the oldest command kept: answered ones are recognised.
function subscribe(bots) {
  const start = existsSync(PLACE)
    ? { afterCursor: readFileSync(PLACE, "utf8") }
    : { point: "STREAM_START_POINT_EARLIEST" };
  return bots.subscribeCommandEvents({ botCodes: [BOT], start }, new grpc.Metadata({ waitForReady: true }));
}

async function answer(bots, { portal, eventId, commandAdded }) {
  const words = commandAdded.command.params.split(/\s+/).filter(Boolean);
  const content = { text: "I add whole numbers: /sum 2 3" };
  if (words.length > 0 && words.every((word) => /^-?[0-9]{1,100}$/.test(word))) {
    content.text = `${words.join(" + ")} = ${words.map(BigInt).reduce((a, b) => a + b)}`;
  }
  try {
    // The service config says nothing about this method; ../README.md says why.
    const options = { deadline: Date.now() + 30_000 };
    const { outcome } = await call(bots, "answerCommand", { portal, eventId, content }, options);
    log(eventId, outcome);
  } catch (error) {
    if (PASSING.includes(grpc.status[error.code])) throw error; // place not noted: the event comes again
    explain(error); // e.g. ANSWER_WINDOW_CLOSED, which no repeat would change
  }
}

const stop = () => (log("stopped"), process.exit(0));
process.once("SIGTERM", stop).once("SIGINT", stop);
const address = process.argv[2] ?? process.env.GATEWAY ?? "127.0.0.1:50051";
const credentials = grpc.credentials.createInsecure();
const server = new ServerService(address, credentials, OPTIONS);
const bots = new BotService(address, credentials, OPTIONS);
let registered = false;
let delay = 1000;
for (;;) {
  try {
    if (!registered) await register(server, bots);
    registered = true;
    for await (const { item, event, gap, cursor } of subscribe(bots)) { // ends only with an error
      if (item === "event") await answer(bots, event);
      if (item === "gap") log("commands may be missing:", gap);
      writeFileSync(`${PLACE}.new`, cursor);
      renameSync(`${PLACE}.new`, PLACE); // in one step: never half a file
      delay = 1000;
    }
  } catch (error) {
    if (!(error.code in grpc.status)) throw error; // not of gRPC
    if (["FOREIGN_CURSOR", "CURSOR_EXPIRED"].includes(explain(error))) {
      log("the noted place is of no use: starting with the earliest command kept");
      unlinkSync(PLACE);
    } else if (PASSING.includes(grpc.status[error.code])) {
      await sleep(delay * (0.5 + Math.random() / 2));
      delay = Math.min(2 * delay, 30_000);
    } else {
      process.exit(1);
    }
  }
}
