// The bot as people know it, against the real gateway and a simulated Bitrix24.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBitrix24 } from "./bitrix24-testing.mjs";

const BOT = [process.execPath, fileURLToPath(new URL("bot.mjs", import.meta.url))];

async function withBot(t) {
  const bitrix24 = await startBitrix24(t);
  bitrix24.startBot(BOT);
  return { bitrix24, bot: await bitrix24.bot("@BOT@", ["hello"]) };
}

test("the bot says hello", async (t) => {
  const { bitrix24, bot } = await withBot(t);
  await (await bitrix24.user("Anna")).types("/hello Anna", { to: bot });
  await bot.answered("Hello, Anna!");
});

test("the bot answers once although an answer was lost", async (t) => {
  const { bitrix24, bot } = await withBot(t);
  await bitrix24.losesAnswerOnce("imbot.v2.Command.answer");
  const chat = (await bitrix24.user("Anna")).chatWith(bot);
  await chat.types("/hello one");
  await chat.types("/hello two");
  await chat.waitForAnswer("Hello, two!");
  assert.deepEqual((await chat.answers()).map(({ text }) => text), ["Hello, one!", "Hello, two!"]);
});
