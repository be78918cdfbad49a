// b24jssdk as an application: tokens, their end and their renewal.

import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'

import { advance, call, client, installed, oauth, portal, result, stillUntilRefused } from './simulator.mjs'

beforeEach(() => oauth.ask('DELETE', 'journal'))

async function application(t, settings) {
  const place = await portal(t)
  return { place, ...(await installed(place, settings)) }
}

test('a call carries its token in the body and finds its way through a double slash', async (t) => {
  const { place, b24 } = await application(t)
  assert.equal((await result(b24, 'profile')).ID, '1')
  const [request] = await place.requests('profile')
  assert.equal(request.encoding, 'json')
  assert.equal(request.params.auth, undefined)
})

test('app info of an application tells of its installation', async (t) => {
  const { b24 } = await application(t)
  const info = await result(b24, 'app.info')
  assert.equal(info.INSTALLED, true)
  assert.equal(info.STATUS, 'L')
})

test('the sdk learns whether it acts for an administrator', async (t) => {
  const { place, b24, does, ...known } = await application(t)
  await b24.initIsAdmin()
  assert.equal(b24.auth.isAdmin, true)
  const { id: anna } = await place.post('users', { first_name: 'Anna' })
  const hers = client(place, known, await does('tokens', { user_id: anna }))
  await hers.initIsAdmin()
  assert.equal(hers.auth.isAdmin, false)
})

test('a bot of an application needs no bot token', async (t) => {
  const { place, b24 } = await application(t)
  const fields = { code: 'support', properties: { name: 'Support' } }
  const { bot } = await result(b24, 'imbot.v2.Bot.register', { fields })
  assert.equal((await result(b24, 'imbot.v2.Bot.get', { botId: bot.id })).bot.code, 'support')
  assert.equal((await place.get('bots')).bots.length, 1)
})

test('an expired token is renewed by a form and the call repeated', async (t) => {
  const { place, b24, does } = await application(t)
  const kept = []
  b24.setCallbackRefreshAuth(async ({ b24OAuthParams }) => kept.push({ ...b24OAuthParams }))
  await does('expire')
  assert.equal((await result(b24, 'profile')).ID, '1')
  assert.deepEqual(await place.statuses('profile'), [401, 200])
  const [asked] = await oauth.requests('oauth/token')
  assert.equal(asked.encoding, 'form')
  assert.equal(kept.length, 1)
  assert.equal(kept[0].clientEndpoint, `${place.address}/rest/`)
  assert.equal(kept[0].scope, 'im,imbot,user')
  assert.equal(kept[0].status, 'L')
  assert.equal(b24.auth.getAuthData().access_token, kept[0].accessToken)
})

test('many calls with an expired token renew it once', async (t) => {
  const { place, b24, does } = await application(t)
  await does('expire')
  // The answer with the new pair comes when all five were refused, however slow this machine is.
  await oauth.fault('latency', { method: 'oauth/token', ms: 1000 })
  const calls = () => Promise.all(Array.from({ length: 5 }, () => result(b24, 'profile')))
  const ids = await stillUntilRefused(place, calls, 5)
  assert.equal(ids.length, 5)
  const statuses = await place.statuses('profile')
  assert.equal(statuses.filter((status) => status === 200).length, 5)
  assert.equal((await oauth.requests('oauth/token')).length, 1)
})

test('a batch survives the end of its token', async (t) => {
  const { place, b24, does } = await application(t)
  await does('expire')
  const answer = await b24.actions.v2.batch.make({ calls: { me: ['profile'], scope: ['scope'] } })
  assert.equal(answer.getData().me.ID, '1')
  assert.deepEqual(await place.statuses('batch'), [401, 200])
})

test('tokens end an hour after they were given', async (t) => {
  const { place, b24 } = await application(t)
  await advance(3590)
  await result(b24, 'profile')
  await advance(20)
  await result(b24, 'profile')
  assert.deepEqual(await place.statuses('profile'), [200, 401, 200])
})

test('a token known to be over is renewed before the call', async (t) => {
  const place = await portal(t)
  const known = await place.post('applications')
  const pair = await place.post(`applications/${known.client_id}/install`)
  const b24 = client(place, known, pair, { expires: Math.floor(Date.now() / 1000) - 1 })
  await result(b24, 'profile')
  assert.deepEqual(await place.statuses('profile'), [200])
  assert.equal((await oauth.requests('oauth/token')).length, 1)
})

test('numbers as text in a new pair are understood', async (t) => {
  const { b24, does } = await application(t)
  await oauth.patch('quirks', { expires_in_is_text: true, user_id_is_text: true })
  t.after(() => oauth.patch('quirks', { expires_in_is_text: false, user_id_is_text: false }))
  await does('expire')
  assert.equal((await result(b24, 'profile')).ID, '1')
  assert.equal(b24.auth.getAuthData().expires_in, 3600)
})

test('a spent refresh token is an invalid grant', async (t) => {
  const place = await portal(t)
  const known = await place.post('applications')
  const pair = await place.post(`applications/${known.client_id}/install`)
  await client(place, known, pair).auth.refreshAuth()
  const late = client(place, known, pair)
  await assert.rejects(late.auth.refreshAuth(), { name: 'SdkError', code: 'invalid_grant', status: 400 })
})

test('a wrong secret is told under every name', async (t) => {
  const { place, client_id, does } = await application(t)
  const stranger = client(place, { client_id, client_secret: 'wrong' }, await does('tokens'))
  const names = {
    unauthorized: { code: 'invalid_client', status: 401 },
    bad_request: { code: 'invalid_client', status: 400 },
    wrong_client_with200: { code: 'JSSDK_OAUTH_TOKEN_REFRESH_FAILED', message: /wrong_client/ },
  }
  t.after(() => oauth.patch('quirks', { wrong_client: 'unauthorized' }))
  for (const [named, expected] of Object.entries(names)) {
    await oauth.patch('quirks', { wrong_client: named })
    await assert.rejects(stranger.auth.refreshAuth(), expected)
  }
})

test('a removed and an unpaid application get no new pair', async (t) => {
  const { b24, does } = await application(t)
  await does('pay', { paid: false })
  await assert.rejects(b24.auth.refreshAuth(), { code: 'PAYMENT_REQUIRED', status: 401 })
  await does('pay')
  await does('uninstall')
  await assert.rejects(b24.auth.refreshAuth(), { code: 'NOT_INSTALLED', status: 401 })
})

test('refused tokens are told by their codes', async (t) => {
  const { place, b24, does } = await application(t)
  const refused = (code) => assert.rejects(call(b24, 'profile'), { code })
  const { id: anna } = await place.post('users', { first_name: 'Anna' })
  await does('restrict', { users: [anna] })
  await refused('user_access_error')
  await does('restrict')
  await does('require_confirmation', { method: 'profile' })
  await refused('METHOD_CONFIRM_WAITING')
  await does('confirm', { method: 'profile', approved: false })
  await refused('METHOD_CONFIRM_DENIED')
  await does('confirm', { method: 'profile' })
  assert.equal((await result(b24, 'profile')).ID, '1')
  assert.deepEqual(await oauth.requests('oauth/token'), [])
})

test('a dismissed person cannot be authorized', async (t) => {
  const { place, does, ...known } = await application(t)
  const { id: anna } = await place.post('users', { first_name: 'Anna' })
  const hers = client(place, known, await does('tokens', { user_id: anna }))
  assert.equal((await result(hers, 'profile')).ID, String(anna))
  await place.post(`users/${anna}/dismiss`)
  await assert.rejects(call(hers, 'profile'), { code: 'authorization_error', status: 401 })
})

test('an application calls only what its scopes allow', async (t) => {
  const { b24 } = await application(t, { scopes: ['im'] })
  await assert.rejects(call(b24, 'imbot.v2.Bot.list'), { code: 'insufficient_scope', message: /access token/ })
})

test('an application that follows a moved portal arrives without its token', async (t) => {
  const { place, b24 } = await application(t)
  await place.post('rename')
  await assert.rejects(call(b24, 'profile'), { code: 'NO_AUTH_FOUND', status: 401 })
  assert.deepEqual(await place.statuses('profile'), [302, 401])
})
