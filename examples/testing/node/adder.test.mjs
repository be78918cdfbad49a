// The example bot `../../node/bot.mjs`, tested as its users know it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBitrix24 } from "./bitrix24-testing.mjs";

const BOT = [process.execPath, fileURLToPath(new URL("../../node/bot.mjs", import.meta.url))];
const texts = (messages) => messages.map(({ text }) => text);

async function withAdder(t, settings) {
  const bitrix24 = await startBitrix24(t, settings);
  bitrix24.startBot(BOT);
  return { bitrix24, adder: await bitrix24.bot("example-node", ["sum"]) };
}

test("a user types a command and the bot answers", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  const anna = await bitrix24.user("Anna");
  await anna.types("/sum 2 3", { to: adder });
  await adder.answered("2 + 3 = 5");
});

test("everybody in a group chat reads the answer", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  const [anna, ben] = [await bitrix24.user("Anna"), await bitrix24.user("Ben")];
  const chat = await bitrix24.chat("Numbers", anna, ben, adder);
  await ben.types("/sum 20 30", { to: chat });
  await chat.waitForAnswer("20 + 30 = 50");
  await anna.types("/sum words", { to: chat });
  await chat.waitForAnswer(/^I add whole numbers/);
});

test("the bot answers after the portal failed once", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  await bitrix24.failsOnce("imbot.v2.Command.answer");
  const chat = (await bitrix24.user("Anna")).chatWith(adder);
  await chat.types("/sum 2 3");
  await chat.waitForAnswer("2 + 3 = 5");
  const calls = await bitrix24.requests("imbot.v2.Command.answer");
  assert.deepEqual(calls.map(({ status }) => status), [503, 200]);
});

test("the bot answers once although an answer was lost", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  await bitrix24.losesAnswerOnce("imbot.v2.Command.answer");
  const chat = (await bitrix24.user("Anna")).chatWith(adder);
  await chat.types("/sum 2 3");
  await chat.types("/sum 4 5");
  await chat.waitForAnswer("4 + 5 = 9");
  assert.deepEqual(texts(await chat.answers()), ["2 + 3 = 5", "4 + 5 = 9"]);
});

test("a button runs the command it stands for", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  const anna = await bitrix24.user("Anna");
  await postsKeyboard(bitrix24, adder, anna, [{ TEXT: "Again", COMMAND: "sum", COMMAND_PARAMS: "2 3" }]);
  await anna.presses("Again", { on: await adder.answered("More?") });
  await adder.answered("2 + 3 = 5");
});

// The adder has no buttons, so they are posted in its name.
async function postsKeyboard(bitrix24, bot, user, buttons) {
  const { token } = await bitrix24.portal.get(`bots/${bot.id}`);
  const fields = { message: "More?", keyboard: { BUTTONS: buttons } };
  user.chatWith(bot);
  const to = { botId: bot.id, botToken: token, dialogId: String(user.id) };
  await bitrix24.call("imbot.v2.Chat.Message.send", { ...to, fields });
}

test("the bot resumes after the gateway was killed", async (t) => {
  const { bitrix24, adder } = await withAdder(t);
  const chat = (await bitrix24.user("Anna")).chatWith(adder);
  await chat.types("/sum 2 3");
  await chat.waitForAnswer("2 + 3 = 5");
  await bitrix24.killGateway();
  await chat.types("/sum 20 30");
  await bitrix24.restartGateway();
  await chat.waitForAnswer("20 + 30 = 50");
  assert.deepEqual(texts(await chat.answers()), ["2 + 3 = 5", "20 + 30 = 50"]);
});

test("two portals do not see each other", async (t) => {
  const story = async (number) => {
    const { bitrix24, adder } = await withAdder(t);
    const chat = (await bitrix24.user("Anna")).chatWith(adder);
    await chat.types(`/sum ${number} 1`);
    await chat.waitForAnswer(`${number} + 1 = ${number + 1}`);
    return texts(await chat.answers());
  };
  assert.deepEqual(await Promise.all([1, 2].map(story)), [["1 + 1 = 2"], ["2 + 1 = 3"]]);
});

test("a wait that fails tells what the chat contains", async (t) => {
  const settings = { portal: { language: "de" }, gateway: { "polling.busy_pause": "150ms" } };
  const { bitrix24, adder } = await withAdder(t, settings);
  const chat = (await bitrix24.user("Anna")).chatWith(adder);
  await chat.types("/sum 2 3");
  await chat.waitForAnswer("2 + 3 = 5");
  const told = ['after 100 ms: no answer "6"', 'the chat "Anna and Adder" contains', "  Anna: /sum 2 3", "  Adder: 2 + 3 = 5"];
  await assert.rejects(chat.waitForAnswer("6", { timeout: 100 }), { message: told.join("\n") });
});
