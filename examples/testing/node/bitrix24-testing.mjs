// Tests of Bitrix24 bots as stories: people type, the bot answers, and things go wrong on purpose.
//
// For `node:test`, of one file and without packages. Needs the binary `bitrix24-gateway`, named by
// BITRIX24_GATEWAY_BIN or in PATH.
//
//   test("...", async (t) => { const bitrix24 = await startBitrix24(t); ... });
//
// A test file has one simulator process. Each call of `startBitrix24` makes a portal of its own in it and a gateway
// process of its own with a store of its own, so tests do not see each other; all portals share one clock. What the
// simulator can do beyond these helpers is behind `bitrix24.portal`, see tests/sim/README.md. Times are milliseconds.

import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE = 30_000; // how long anything may take that should happen
const READY = /gateway is ready.* grpc\.address=(\S+)/;
// So that stories are told quickly; the simulated portal takes any pace.
const QUICK = { "rate.requests_per_second": 0, "polling.busy_pause": "100ms", "polling.idle_pause": "100ms" };

let simulator; // a promise of the one of this file

// A portal and a gateway for it, which end with the test `t`. `portal` are members of `POST /portals`, `gateway`
// settings of the gateway by their path.
export async function startBitrix24(t, { portal = {}, gateway = {} } = {}) {
  simulator ??= startSimulator();
  const { facts, control } = await simulator;
  const made = await control.post("portals", { limits: "none", ...portal });
  const world = new Bitrix24(facts, made, gateway);
  t.after(async () => {
    if (t.error) t.diagnostic(world.logs());
    await world.close();
  });
  await world.startGateway();
  return world;
}

// Hooks of a file run after its last test.
after(async () => {
  const running = await simulator?.catch(() => undefined);
  await running?.stop();
});

async function startSimulator() {
  const program = binary();
  const folder = mkdtempSync(join(tmpdir(), "bitrix24-sim-"));
  const command = [program, "sim", "--no-limits", "--dir", folder];
  const child = new Process("the simulator", command, folder, plainEnvironment());
  const stop = async () => {
    await child.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const facts = JSON.parse(await child.waitForLog(/^(\{.*\})$/m));
    return { facts, control: new Control(facts.control), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

// A portal, people, a gateway, and whatever bots the test starts.
class Bitrix24 {
  gateway; // host:port to hand to the bot under test; stays the same after a restart
  folder = mkdtempSync(join(tmpdir(), "bitrix24-gateway-"));
  processes = []; // also those that ended, for their logs
  names = new Map([[0, "system"], [1, "the owner"]]);
  chats = new Map(); // by dialog

  constructor(simulator, facts, settings) {
    this.facts = facts;
    this.portal = new Control(`${simulator.control}/portals/${facts.portal}`);
    this.ca = readFileSync(simulator.ca_file);
    this.settings = {
      ...QUICK,
      "webhook_url": facts.webhook_url,
      "outbound.ca_file": simulator.ca_file,
      "store.dir": join(this.folder, "store"),
      "store.key_file": join(this.folder, "keys"),
      "log.format": "text",
      ...settings,
    };
  }

  // A new person of the portal; `more` are members of `POST users`.
  async user(firstName, more = {}) {
    const { id } = await this.portal.post("users", { first_name: firstName, ...more });
    this.names.set(id, [firstName, more.last_name].filter(Boolean).join(" "));
    return new User(this, id);
  }

  // The bot of this code, as soon as it has registered itself and these commands.
  async bot(code, commands = []) {
    const registered = async () => {
      const bot = (await this.portal.get("bots")).bots.find((bot) => bot.code === code);
      if (!bot) return undefined;
      const known = (await this.portal.get(`bots/${bot.id}/commands`)).commands.map(({ name }) => name);
      return commands.every((command) => known.includes(command)) ? bot : undefined;
    };
    const bot = await this.until(registered, () => `the bot "${code}" did not register itself with [${commands}]`);
    this.names.set(bot.id, bot.name);
    return new Bot(this, bot.id, code);
  }

  // A group chat of these users and bots; the first user owns it.
  async chat(title, ...members) {
    const users = members.filter((member) => member instanceof User).map(({ id }) => id);
    const made = await this.portal.post("chats", { title, members: users });
    for (const bot of members.filter((member) => member instanceof Bot)) {
      await this.portal.post(`chats/${made.id}/bots`, { bot_id: bot.id, by_user: users[0] });
    }
    return this.knownChat(made.dialog_id, made.dialog_id, title);
  }

  knownChat(dialog, address, title, user) {
    if (!this.chats.has(dialog)) this.chats.set(dialog, new Chat(this, dialog, address, title, user));
    return this.chats.get(dialog);
  }

  // The next call of this REST method fails, by default as if calls came too fast. Other kinds (`reset`, `hang`,
  // `html`, ...) and their members are in tests/sim/README.md.
  async failsOnce(method, { kind = "error", ...more } = {}) {
    const usual = kind === "error" ? { code: "QUERY_LIMIT_EXCEEDED", status: 503 } : {};
    await this.portal.post("faults", { kind, method, ...usual, ...more });
  }

  // The next call of this REST method takes effect, but the connection breaks before its answer.
  losesAnswerOnce(method) {
    return this.failsOnce(method, { kind: "reset", when: "after" });
  }

  // The REST calls that reached the portal, oldest first.
  async requests(method) {
    return (await this.portal.get(`journal/requests${method ? `?method=${encodeURIComponent(method)}` : ""}`)).requests;
  }

  // What really changed in the portal, oldest first.
  async effects() {
    return (await this.portal.get("journal/effects")).effects;
  }

  // A REST call with the portal's webhook, as another integration would make it.
  async call(method, params = {}) {
    return (await new Control(this.facts.webhook_url.replace(/\/$/, ""), this.ca).post(method, params)).result;
  }

  // The environment for a bot: GATEWAY names the gateway, no setting of another gateway is left.
  environment(more = {}) {
    return { ...plainEnvironment(), GATEWAY: this.gateway, ...more };
  }

  // Starts the bot under test; without `cwd` in a folder that lives as long as the test.
  startBot(command, { cwd = this.folder, env = this.environment(), name = "the bot" } = {}) {
    return this.start(name, command, cwd, env);
  }

  start(name, command, cwd, env) {
    const child = new Process(name, command, cwd, env, this.folder);
    this.processes.push(child);
    return child;
  }

  async startGateway() {
    const env = plainEnvironment();
    for (const [path, value] of Object.entries({ "admin.listen": "", ...this.settings, "grpc.listen": this.gateway ?? "127.0.0.1:0" })) {
      env[`BITRIX24_GATEWAY__${path.toUpperCase().replaceAll(".", "__")}`] = String(value);
    }
    this.gatewayProcess = this.start("the gateway", [binary(), "serve"], this.folder, env);
    this.gateway = await this.gatewayProcess.waitForLog(READY);
  }

  // As an operator does it: calls under way finish.
  async stopGateway() {
    const code = await this.gatewayProcess.stop();
    if (code !== 0) throw new Error(`the gateway ended with ${code}:\n${this.gatewayProcess.log()}`);
  }

  // As a power cut does it.
  async killGateway() {
    await this.gatewayProcess.kill();
  }

  // Stops the gateway if it runs, and starts it again with the same store at the same address.
  async restartGateway() {
    if (this.gatewayProcess.running) await this.stopGateway();
    await this.startGateway();
  }

  // Waits until `holds()` is true and returns it; else fails with what `otherwise()` says.
  async until(holds, otherwise, timeout = PATIENCE) {
    const end = performance.now() + timeout;
    for (;;) {
      const ended = this.processes.find((child) => child.unexpected);
      const found = await holds();
      if (found) return found;
      const why = ended ? `${ended.name} ended with ${ended.code}` : `after ${timeout} ms`;
      if (ended || performance.now() > end) throw new Error(`${why}: ${await otherwise()}`);
      await sleep(20);
    }
  }

  logs() {
    return this.processes.map((child) => `Log of ${child.name}:\n${child.log()}`).join("\n");
  }

  async close() {
    try {
      const own = (child) => child.name === "the gateway";
      for (const child of this.processes.filter((it) => !own(it))) await child.stop();
      for (const child of this.processes.filter(own)) {
        if (child !== this.gatewayProcess || child.stopping) await child.stop();
        else await this.stopGateway();
      }
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
      await this.portal.ask("DELETE", "");
    }
  }
}

// Somebody who uses the portal.
class User {
  constructor(world, id) {
    Object.assign(this, { world, id });
  }

  // The private chat with a bot.
  chatWith(bot) {
    const title = `${this.world.names.get(this.id)} and ${this.world.names.get(bot.id)}`;
    return this.world.knownChat(`${this.id}:${bot.id}`, String(bot.id), title, this);
  }

  // Writes into a chat, or to a bot in private. Returns the message's id.
  async types(text, { to }) {
    const dialog = (to instanceof Chat ? to : this.chatWith(to)).address;
    return (await this.world.portal.post(`users/${this.id}/types`, { dialog, text })).message_id;
  }

  // Presses the button of this text under a message.
  async presses(button, { on }) {
    await this.world.portal.post(`users/${this.id}/presses`, { message_id: on.id, button });
  }
}

// A bot as people see it.
class Bot {
  constructor(world, id, code) {
    Object.assign(this, { world, id, code });
  }

  // Waits until the bot has written this in any chat of the test; see `Chat.waitForAnswer`.
  answered(text, { timeout } = {}) {
    return waitForAnswer(this.world, [...this.world.chats.values()], text, timeout, [this.id]);
  }
}

// A chat as people see it.
class Chat {
  returned = new Set(); // ids of answers a wait has returned

  constructor(world, dialog, address, title, user) {
    // `dialog` is how the control interface reads it, `address` how its people write into it.
    Object.assign(this, { world, dialog, address, title, user });
  }

  // In a private chat: its person types.
  types(text) {
    return this.user.types(text, { to: this });
  }

  async messages() {
    return (await this.world.portal.get(`messages?dialog=${this.dialog}`)).messages;
  }

  // All messages of bots, oldest first.
  async answers(authors) {
    authors ??= (await this.world.portal.get("bots")).bots.map(({ id }) => id);
    return (await this.messages()).filter((message) => authors.includes(message.author_id));
  }

  // Waits for a bot's message that no wait has returned yet, and returns it. A string is the whole text, a regular
  // expression is searched in it, undefined is any text.
  waitForAnswer(text, { timeout } = {}) {
    return waitForAnswer(this.world, [this], text, timeout);
  }

  // What it contains, for people.
  async told() {
    const name = (id) => this.world.names.get(id) ?? id;
    const lines = (await this.messages()).map(({ author_id, text }) => `  ${name(author_id)}: ${text}`);
    return [`the chat "${this.title}" contains`, ...(lines.length ? lines : ["  nothing"])].join("\n");
  }
}

function waitForAnswer(world, chats, text, timeout, authors) {
  const fits = (message) => (text instanceof RegExp ? message.text.search(text) >= 0 : (text ?? message.text) === message.text);
  const arrived = async () => {
    for (const chat of chats) {
      const found = (await chat.answers(authors)).find((message) => !chat.returned.has(message.id) && fits(message));
      if (found) chat.returned.add(found.id);
      if (found) return found;
    }
  };
  const missing = async () => {
    const wanted = text === undefined ? "no answer" : `no answer ${text instanceof RegExp ? text : JSON.stringify(text)}`;
    return [wanted, ...(await Promise.all(chats.map((chat) => chat.told())))].join("\n");
  };
  return world.until(arrived, missing, timeout);
}

// A process whose output is a file. It gets a group of its own and is always waited for.
class Process {
  static count = 0;
  stopping = false;
  code; // exit code or signal, once it ended

  constructor(name, [program, ...words], cwd, env, logs = cwd) {
    this.name = name;
    this.path = join(logs, `process-${++Process.count}.log`);
    const out = openSync(this.path, "w");
    this.child = spawn(program, words.map(String), { cwd, env, stdio: ["ignore", out, out], detached: true });
    closeSync(out);
    this.end = new Promise((resolve) => {
      this.child.once("exit", (code, signal) => resolve((this.code = code ?? signal)));
      this.child.once("error", (error) => resolve((this.code = error.message)));
    });
  }

  get running() {
    return this.code === undefined;
  }

  get unexpected() {
    return !this.stopping && !this.running;
  }

  log() {
    return readFileSync(this.path, "utf8");
  }

  // Waits for this in the output and returns its group.
  async waitForLog(pattern) {
    const end = performance.now() + PATIENCE;
    for (;;) {
      const { running } = this;
      const found = pattern.exec(this.log());
      if (found) return found[1];
      if (!running) throw new Error(`${this.name} ended with ${this.code}:\n${this.log()}`);
      if (performance.now() > end) throw new Error(`after ${PATIENCE} ms: ${this.name} is not ready:\n${this.log()}`);
      await sleep(20);
    }
  }

  // SIGTERM, and SIGKILL if that does not end it. Returns the exit code.
  async stop() {
    this.stopping = true;
    this.signal("SIGTERM");
    const hurry = setTimeout(() => this.signal("SIGKILL"), PATIENCE);
    try {
      return await this.end;
    } finally {
      clearTimeout(hurry);
    }
  }

  kill() {
    this.stopping = true;
    this.signal("SIGKILL");
    return this.end;
  }

  signal(name) {
    if (this.running && this.child.pid) process.kill(-this.child.pid, name);
  }
}

// JSON over HTTP below one address: the control interface of the simulator.
class Control {
  constructor(address, ca) {
    Object.assign(this, { address, ca });
  }

  get(path) {
    return this.ask("GET", path);
  }

  post(path, body = {}) {
    return this.ask("POST", path, body);
  }

  async ask(method, path, body) {
    const url = `${this.address}/${path}`.replace(/\/$/, "");
    const [send, headers] = [this.ca ? httpsRequest : httpRequest, { "content-type": "application/json" }];
    const answer = await new Promise((resolve, reject) => {
      send(url, { method, ca: this.ca, headers, agent: false, timeout: PATIENCE }, resolve)
        .once("error", reject)
        .once("timeout", () => reject(new Error(`${method} ${url}: no answer after ${PATIENCE} ms`)))
        .end(body && JSON.stringify(body));
    });
    let text = "";
    for await (const piece of answer.setEncoding("utf8")) text += piece;
    if (answer.statusCode !== 200) throw new Error(`${method} ${path} ${JSON.stringify(body)}: ${text}`);
    return JSON.parse(text);
  }
}

// Where the gateway's binary is.
function binary() {
  const named = process.env.BITRIX24_GATEWAY_BIN;
  const inPath = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "bitrix24-gateway"));
  const found = (named ? [named] : inPath).find((path) => existsSync(path));
  if (!found) throw new Error(`${named || "bitrix24-gateway in PATH"} is not there: set BITRIX24_GATEWAY_BIN`);
  return resolve(found);
}

// Without the settings of a real gateway: no test may reach a real portal.
const plainEnvironment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BITRIX24_GATEWAY")));
