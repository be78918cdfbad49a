// b24jssdk with an incoming webhook: single calls and batches.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { call, hook, portal, result } from './simulator.mjs'

const TOKEN = 'a'.repeat(32)
const BOT = { code: 'support', botToken: TOKEN, properties: { name: 'Support' } }

async function withBot(t) {
  const place = await portal(t)
  const b24 = hook(place)
  const { bot } = await result(b24, 'imbot.v2.Bot.register', { fields: BOT })
  return { place, b24, botId: bot.id }
}

test('a call is json, with the marks of its request in the query', async (t) => {
  const place = await portal(t)
  assert.equal((await result(hook(place), 'profile')).ID, '1')
  const [request] = await place.requests('profile')
  assert.equal(request.encoding, 'json')
  assert.deepEqual(Object.keys(request.params).sort(), ['bx24_request_id', 'bx24_sdk_type', 'bx24_sdk_ver'])
  assert.match(request.params.bx24_request_id, /^[0-9a-f-]{36}$/)
})

test('the basic methods answer', async (t) => {
  const b24 = hook(await portal(t))
  assert.ok((await result(b24, 'scope')).includes('imbot'))
  assert.ok((await result(b24, 'scope', { full: true })).includes('crm'))
  assert.ok((await result(b24, 'app.info')).SCOPE.includes('im'))
  assert.ok(Math.abs(Date.parse(await result(b24, 'server.time')) - Date.now()) < 60_000)
  const known = await result(b24, 'method.get', { name: 'imbot.v2.bot.register' })
  assert.deepEqual(known, { isExisting: true, isAvailable: true })
})

test('the tools of the sdk find the portal well', async (t) => {
  const b24 = hook(await portal(t))
  assert.equal(await b24.tools.healthCheck.make(), true)
  assert.ok((await b24.tools.ping.make()) >= 0)
})

test('an answer carries its operating time', async (t) => {
  const b24 = hook(await portal(t, { limits: 'default' }))
  const { time } = (await call(b24, 'profile')).getData()
  assert.ok(time.operating > 0)
  assert.ok(time.operating_reset_at > time.finish)
  assert.ok(time.finish >= time.start)
  assert.ok(b24.getHttpClient('v2').getStats().operatingStats.profile > 0)
})

test('a typed command is heard and answered', async (t) => {
  const { place, b24, botId } = await withBot(t)
  const { id: anna } = await place.post('users', { first_name: 'Anna' })
  const chat = await place.post('chats', { title: 'Support', members: [1, anna] })
  await place.post(`chats/${chat.id}/bots`, { bot_id: botId })
  const fields = { command: 'help', title: { en: 'Help' } }
  const { command } = await result(b24, 'imbot.v2.Command.register', { botId, botToken: TOKEN, fields })
  await place.post(`users/${anna}/types`, { dialog: chat.dialog_id, text: '/help me' })

  const { events, nextOffset } = await result(b24, 'imbot.v2.Event.get', { botId, botToken: TOKEN })
  const { data } = events.find((event) => event.type === 'ONIMBOTV2COMMANDADD')
  assert.equal(data.command.id, command.id)
  assert.equal(data.command.params, 'me')
  await result(b24, 'imbot.v2.Command.answer', {
    botId,
    botToken: TOKEN,
    commandId: command.id,
    messageId: data.message.id,
    dialogId: data.chat.dialogId,
    fields: { message: 'Here I am' },
  })
  const later = await result(b24, 'imbot.v2.Event.get', { botId, botToken: TOKEN, offset: nextOffset })
  assert.deepEqual(later.events, [])
  const { messages } = await place.get(`messages?dialog=${chat.dialog_id}`)
  assert.equal(messages.at(-1).text, 'Here I am')
})

test('a short list is read to its end', async (t) => {
  const { b24, botId } = await withBot(t)
  const answer = await b24.actions.v2.callList.make({
    method: 'imbot.v2.Bot.list',
    params: { botToken: TOKEN },
    idKey: 'id',
    customKeyForResult: 'bots',
  })
  assert.deepEqual(answer.getData().map((bot) => bot.id), [botId])
})

test('a batch without names answers by position', async (t) => {
  const { place, b24, botId } = await withBot(t)
  const answer = await b24.actions.v2.batch.make({
    calls: [['profile'], ['imbot.v2.Bot.get', { botId, botToken: TOKEN }], { method: 'scope', params: {} }],
  })
  const [profile, { bot }, scope] = answer.getData()
  assert.deepEqual([profile.ID, bot.id, scope.includes('imbot')], ['1', botId, true])
  const [outer] = await place.requests('batch')
  assert.ok(Array.isArray(outer.params.cmd))
  assert.equal(outer.params.halt, 1)
})

test('a batch of names answers by name', async (t) => {
  const { b24, botId } = await withBot(t)
  const answer = await b24.actions.v2.batch.make({
    calls: { me: ['profile'], bot: { method: 'imbot.v2.Bot.get', params: { botId, botToken: TOKEN } } },
    options: { returnAjaxResult: true },
  })
  const { me, bot } = answer.getData()
  assert.equal(me.getData().result.ID, '1')
  assert.equal(bot.getData().result.bot.id, botId)
  assert.ok(bot.getData().time.duration >= 0)
})

for (const shape of ['position', 'name']) {
  test(`a batch by ${shape} keeps the results beside an error`, async (t) => {
    const { b24 } = await withBot(t)
    const bad = ['imbot.v2.Bot.get', { botId: 99999, botToken: TOKEN }]
    const calls = shape === 'name' ? { a: ['scope'], b: bad, c: ['profile'] } : [['scope'], bad, ['profile']]
    const answer = await b24.actions.v2.batch.make({
      calls,
      options: { isHaltOnError: false, returnAjaxResult: true },
    })
    assert.equal(answer.isSuccess, false)
    const [first, second, third] = Object.values(answer.getData())
    assert.ok(first.getData().result.includes('imbot'))
    assert.equal([...second.getErrors()][0].code, 'BOT_NOT_FOUND')
    assert.equal(third.getData().result.ID, '1')
  })
}

test('an error at the first place alone is still at its place', async (t) => {
  const { b24 } = await withBot(t)
  const answer = await b24.actions.v2.batch.make({
    calls: [['no.such'], ['profile']],
    options: { isHaltOnError: false, returnAjaxResult: true },
  })
  const [first, second] = answer.getData()
  assert.equal([...first.getErrors()][0].code, 'ERROR_METHOD_NOT_FOUND')
  assert.equal(second.getData().result.ID, '1')
})

test('a halted batch has nothing after the error', async (t) => {
  const b24 = hook(await portal(t))
  const answer = await b24.actions.v2.batch.make({
    calls: { before: ['scope'], bad: ['no.such'], after: ['scope'] },
    options: { isHaltOnError: true, returnAjaxResult: true },
  })
  assert.deepEqual(Object.keys(answer.getData()), ['before', 'bad'])
})

test('a batch refers to what it made', async (t) => {
  const place = await portal(t)
  const b24 = hook(place)
  const answer = await b24.actions.v2.batch.make({
    calls: {
      bot: ['imbot.v2.Bot.register', { fields: BOT }],
      command: [
        'imbot.v2.Command.register',
        {
          botId: '$result[bot][bot][id]',
          botToken: TOKEN,
          fields: { command: 'hi', title: { en: 'Greets & more, 100%', de: 'Grüßt' }, common: 'Y' },
        },
      ],
      sent: [
        'imbot.v2.Chat.Message.send',
        {
          botId: '$result[bot][bot][id]',
          botToken: TOKEN,
          dialogId: '1',
          fields: { message: 'I am $result[bot][bot][code] + [b]you[/b]' },
        },
      ],
    },
  })
  const { bot, sent } = answer.getData()
  const { commands } = await place.get(`bots/${bot.bot.id}/commands`)
  assert.deepEqual(Object.fromEntries(commands[0].titles), { en: 'Greets & more, 100%', de: 'Grüßt' })
  assert.equal(commands[0].common, true)
  assert.equal((await place.get(`messages/${sent.id}`)).text, 'I am support + [b]you[/b]')
})

test('a batch by position refers to positions', async (t) => {
  const { b24, botId } = await withBot(t)
  const answer = await b24.actions.v2.batch.make({
    calls: [
      ['imbot.v2.Bot.list', { botToken: TOKEN }],
      ['imbot.v2.Bot.get', { botId: '$result[0][bots][0][id]', botToken: TOKEN }],
    ],
  })
  assert.equal(answer.getData()[1].bot.id, botId)
})

test('many calls become several batches', async (t) => {
  const place = await portal(t)
  const answer = await hook(place).actions.v2.batchByChunk.make({
    calls: Array.from({ length: 120 }, () => ['scope']),
  })
  assert.equal(answer.getData().length, 120)
  assert.equal((await place.requests('batch')).length, 3)
})

test('a batch in a batch is not allowed', async (t) => {
  const b24 = hook(await portal(t))
  const answer = await b24.actions.v2.batch.make({
    calls: { inner: ['batch', { cmd: ['profile'] }] },
    options: { isHaltOnError: false, returnAjaxResult: true },
  })
  const [error] = answer.getData().inner.getErrors()
  assert.equal(error.code, 'ERROR_BATCH_METHOD_NOT_ALLOWED')
})

test('a moved portal is followed without the body', async (t) => {
  // The client follows by GET, as HTTP libraries do; what it meant to send stays behind.
  const place = await portal(t)
  const b24 = hook(place)
  await place.post('rename')
  assert.equal((await result(b24, 'profile')).ID, '1')
  await assert.rejects(call(b24, 'imbot.v2.Bot.register', { fields: BOT }), { status: 400 })
  const [away, followed] = await place.requests('imbot.v2.Bot.register')
  assert.deepEqual([away.status, away.encoding], [302, 'json'])
  assert.deepEqual([followed.status, followed.encoding], [400, 'query'])
  assert.equal(followed.params.fields, undefined)
})
