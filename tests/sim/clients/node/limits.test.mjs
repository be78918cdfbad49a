// The request rate, waited out as b24jssdk does by itself.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { call, hook, portal, result, stillUntilRefused } from './simulator.mjs'

const DEFAULTS = {
  operatingLimit: { windowMs: 600_000, limitMs: 480_000, heavyPercent: 80 },
  adaptiveConfig: { enabled: true, thresholdPercent: 80, coefficient: 0.01, maxDelay: 7_000 },
  maxRetries: 3,
  retryDelay: 1_000,
}

for (const [status, named] of [
  [503, 'service_unavailable'],
  [429, 'too_many_requests'],
  [401, 'unauthorized'],
]) {
  test(`a full bucket told with ${status} is waited out`, async (t) => {
    const place = await portal(t, { limits: { threshold: 3 }, quirks: { rate_limit_status: named } })
    const b24 = hook(place)
    await stillUntilRefused(place, async () => {
      for (let round = 0; round < 4; round++) {
        assert.equal((await result(b24, 'profile')).ID, '1')
      }
    })
    assert.deepEqual(await place.statuses('profile'), [200, 200, 200, status, 200])
    assert.equal(b24.getHttpClient('v2').getStats().retries, 1)
  })
}

test('a bucket that stays full is an error after the attempts that were allowed', async (t) => {
  const place = await portal(t, { limits: { threshold: 0 } })
  const b24 = hook(place, { ...DEFAULTS, rateLimit: { burstLimit: 50, drainRate: 20 }, maxRetries: 2 })
  await assert.rejects(call(b24, 'profile'), { code: 'QUERY_LIMIT_EXCEEDED', status: 503 })
  assert.deepEqual(await place.statuses('profile'), [503, 503])
})

// One call less at once than the portal bears, because calls do not arrive as evenly as they are sent.
test('a bucket kept in mind never overflows where it drains without steps', async (t) => {
  const place = await portal(t, { limits: { threshold: 3, continuous_drain: true } })
  const b24 = hook(place, { ...DEFAULTS, rateLimit: { burstLimit: 2, drainRate: 2, adaptiveEnabled: true } })
  await Promise.all(Array.from({ length: 6 }, () => result(b24, 'profile')))
  assert.deepEqual(await place.statuses('profile'), [200, 200, 200, 200, 200, 200])
})
