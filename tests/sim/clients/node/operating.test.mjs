// The operating limit, waited out as b24jssdk does by itself: it gives a method ten real seconds.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { advance, call, hook, portal, refused, result } from './simulator.mjs'

test('a spent operating limit is waited out and blocks no other method', async (t) => {
  const place = await portal(t, { limits: { operating_limit_ms: 1_000, execution_time_ms: 600 } })
  const b24 = hook(place)
  await result(b24, 'profile')
  await result(b24, 'profile')
  const blocked = result(b24, 'profile')
  await result(b24, 'scope')
  await refused(place, blocked)
  await advance(700)
  assert.equal((await blocked).ID, '1')
  assert.deepEqual(await place.statuses('profile'), [200, 200, 429, 200])
})

test('a spent operating limit fails its command in a batch alone', async (t) => {
  const place = await portal(t, { limits: { operating_limit_ms: 1_000, execution_time_ms: 1_200 } })
  const b24 = hook(place)
  await result(b24, 'profile')
  const answer = await b24.actions.v2.batch.make({
    calls: { profile: ['profile'], scope: ['scope'] },
    options: { isHaltOnError: false, returnAjaxResult: true },
  })
  const { profile, scope } = answer.getData()
  assert.equal([...profile.getErrors()][0].code, 'OPERATION_TIME_LIMIT')
  assert.ok(scope.getData().result.includes('imbot'))
})

test('a client that minds the operating time keeps its distance', async (t) => {
  const place = await portal(t, { limits: { execution_time_ms: 420_000 } })
  const b24 = hook(place)
  await result(b24, 'profile')
  assert.equal(b24.getHttpClient('v2').getStats().heavyRequestCount, 1)
  const { time } = (await call(b24, 'scope')).getData()
  assert.equal(time.operating, 420)
})
