// b24jssdk makes the error its authors expect of what the portal answers.
//
// Codes it counts as hard are told at once; what is left of 5xx and the network is tried again.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { B24Hook } from '@bitrix24/b24jssdk'
import { call, hook, portal, result } from './simulator.mjs'

const TOKEN = 'a'.repeat(32)
// The usual settings of the SDK with a short wait before a repeat.
const HASTY = {
  rateLimit: { burstLimit: 50, drainRate: 2, adaptiveEnabled: true },
  operatingLimit: { windowMs: 600_000, limitMs: 480_000, heavyPercent: 80 },
  adaptiveConfig: { enabled: true, thresholdPercent: 80, coefficient: 0.01, maxDelay: 7_000 },
  maxRetries: 3,
  retryDelay: 10,
}

test('a wrong webhook code is told as code or pages name it', async (t) => {
  const codes = { documented: 'NO_AUTH_FOUND', default: 'INVALID_CREDENTIALS' }
  for (const [quirks, code] of Object.entries(codes)) {
    const place = await portal(t, { quirks })
    const b24 = B24Hook.fromWebhookUrl(`${place.address}/rest/1/wrong/`)
    await assert.rejects(call(b24, 'profile'), { name: 'AjaxError', code, status: 401 })
    assert.equal((await place.requests()).length, 1)
  }
})

test('a missing scope is told', async (t) => {
  const place = await portal(t)
  const { webhook_url } = await place.post('webhooks', { scopes: ['im'] })
  const b24 = hook({ webhook_url })
  await assert.rejects(call(b24, 'imbot.v2.Bot.list', { botToken: TOKEN }), { code: 'insufficient_scope' })
})

test('an unknown method is not found', async (t) => {
  const b24 = hook(await portal(t))
  await assert.rejects(call(b24, 'imbot.v2.Bot.dance'), { code: 'ERROR_METHOD_NOT_FOUND', status: 404 })
})

test('app info is denied where pages rule', async (t) => {
  const b24 = hook(await portal(t, { quirks: 'documented' }))
  await assert.rejects(call(b24, 'app.info'), { code: 'ACCESS_DENIED' })
})

test('errors of methods are told with their code and not tried again', async (t) => {
  const place = await portal(t)
  const b24 = hook(place)
  const refused = [
    ['imbot.v2.Bot.get', { botId: 1 }, 'BOT_TOKEN_NOT_SPECIFIED'],
    ['imbot.v2.Bot.get', { botId: 77, botToken: TOKEN }, 'BOT_NOT_FOUND'],
    ['imbot.v2.Bot.register', { fields: { botToken: TOKEN } }, 'BOT_CODE_REQUIRED'],
    ['imbot.v2.Bot.register', { fields: { botToken: 'x'.repeat(41) } }, 'BOT_TOKEN_INVALID_LENGTH'],
  ]
  for (const [method, params, code] of refused) {
    await assert.rejects(call(b24, method, params), { code, status: 400 })
  }
  assert.equal((await place.requests()).length, refused.length)
})

test('a number in place of a code is a bad request of no name', async (t) => {
  const b24 = hook(await portal(t))
  const refused = { code: 'ERR_BAD_REQUEST', status: 400 }
  await assert.rejects(call(b24, 'imbot.v2.Bot.register', { botToken: TOKEN }), refused)
})

test('an error under status 200 is an error', async (t) => {
  const b24 = hook(await portal(t, { quirks: { errors_with_200: true } }))
  const answer = await call(b24, 'imbot.v2.Bot.get', { botId: 77, botToken: TOKEN })
  assert.equal(answer.isSuccess, false)
  assert.equal([...answer.getErrors()][0].code, 'BOT_NOT_FOUND')
})

// What a healthy webhook cannot provoke is told by a fault, word for word as C4 has it.
const TOLD_AT_ONCE = [
  [401, 'authorization_error'],
  [401, 'APPLICATION_NOT_FOUND'],
  [401, 'ERROR_OAUTH'],
  [401, 'NOT_INSTALLED'],
  [401, 'PAYMENT_REQUIRED'],
  [401, 'METHOD_CONFIRM_WAITING'],
  [403, 'METHOD_CONFIRM_DENIED'],
  [403, 'user_access_error'],
  [403, 'PORTAL_DELETED'],
  [401, 'OVERLOAD_LIMIT'],
  [500, 'INTERNAL_SERVER_ERROR'],
  [500, 'ERROR_UNEXPECTED_ANSWER'],
  [400, 'ERROR_ARGUMENT'],
]
for (const [status, code] of TOLD_AT_ONCE) {
  test(`${code} with ${status} is told at once`, async (t) => {
    const place = await portal(t)
    const b24 = hook(place)
    await place.fault('error', { method: 'profile', status, code, description: 'So it is' })
    await assert.rejects(call(b24, 'profile'), { code, status, message: 'So it is' })
    assert.deepEqual(await place.statuses('profile'), [status])
    assert.equal((await result(b24, 'profile')).ID, '1')
  })
}

for (const [condition, code] of [
  ['closed', 'PORTAL_DELETED'],
  ['no_rest', 'ACCESS_DENIED'],
  ['overloaded', 'OVERLOAD_LIMIT'],
]) {
  test(`a portal that is ${condition} says ${code}`, async (t) => {
    const place = await portal(t)
    await place.post('condition', { condition })
    await assert.rejects(call(hook(place), 'profile'), { code })
  })
}

test('a page in place of an answer is tried again', async (t) => {
  const place = await portal(t)
  await place.fault('html', { status: 502 })
  assert.equal((await result(hook(place, HASTY), 'profile')).ID, '1')
  assert.deepEqual(await place.statuses('profile'), [502, 200])
})

test('a forbidding page is told at once', async (t) => {
  const place = await portal(t)
  await place.fault('html', { status: 403 })
  await assert.rejects(call(hook(place, HASTY), 'profile'), { status: 403 })
  assert.equal((await place.requests()).length, 1)
})

for (const kind of ['reset', 'cut']) {
  test(`a connection lost to a ${kind} is tried again`, async (t) => {
    const place = await portal(t)
    await place.fault(kind)
    assert.equal((await result(hook(place, HASTY), 'profile')).ID, '1')
    assert.equal((await place.requests('profile')).length, 2)
  })
}

test('an effect whose answer was lost comes twice', async (t) => {
  // The SDK repeats whatever got no answer. A portal cannot know that it is a repeat.
  const place = await portal(t)
  const b24 = hook(place, HASTY)
  const fields = { code: 'support', botToken: TOKEN, properties: { name: 'Support' } }
  const { bot } = await result(b24, 'imbot.v2.Bot.register', { fields })
  await place.fault('reset', { method: 'imbot.v2.Chat.Message.send', when: 'after' })
  const message = { botId: bot.id, botToken: TOKEN, dialogId: '1', fields: { message: 'Once' } }
  await result(b24, 'imbot.v2.Chat.Message.send', message)
  const { messages } = await place.get(`messages?dialog=1:${bot.id}`)
  assert.deepEqual(messages.map(({ text }) => text), ['Once', 'Once'])
})
