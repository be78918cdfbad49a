// The running simulator, driven over its control interface, and the SDK's clients for it.

import { B24Hook, B24OAuth } from '@bitrix24/b24jssdk'

const facts = JSON.parse(process.env.BITRIX24_SIM_FACTS)

/** A place below one address of the control interface: a portal, or the authorization server. */
class Place {
  constructor(address) {
    this.control = address
  }

  get(path) {
    return this.ask('GET', path)
  }

  post(path, body = {}) {
    return this.ask('POST', path, body)
  }

  patch(path, body) {
    return this.ask('PATCH', path, body)
  }

  fault(kind, settings = {}) {
    return this.post('faults', { kind, ...settings })
  }

  async requests(method) {
    const { requests } = await this.get(`journal/requests${method ? `?method=${method}` : ''}`)
    return requests
  }

  async statuses(method) {
    return (await this.requests(method)).map((request) => request.status)
  }

  async ask(method, path, body) {
    const answer = await fetch(`${this.control}/${path}`, { method, body: body && JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`)
    return answer.json()
  }
}

export const oauth = new Place(`${facts.control}/oauth`)

const simulation = new Place(facts.control)

export function advance(seconds) {
  return simulation.post('clock', { advance_ms: seconds * 1000 })
}

/** Acts while the clock stands still until the portal refused so many calls, however slow this machine is. */
export async function stillUntilRefused(place, act, times = 1) {
  await simulation.post('clock', { scale: 0 })
  const acting = act()
  try {
    await refused(place, acting, times)
  } finally {
    await simulation.post('clock', { scale: 1 })
  }
  return acting
}

/** Waits until the portal refused so many calls, or the caller is through without. Each look takes its time. */
export async function refused(place, acting, times = 1) {
  let over = false
  const ends = () => (over = true)
  acting.then(ends, ends)
  const count = async () => (await place.statuses()).filter((status) => status !== 200).length
  while (!over && (await count()) < times) {
    await new Promise(setImmediate)
  }
}

/** A new portal, without limits unless the test names some. It ends with the test. */
export async function portal(test, settings = {}) {
  const made = await simulation.post('portals', { limits: 'none', ...settings })
  const place = new Place(`${facts.control}/portals/${made.portal}`)
  test.after(() => place.ask('DELETE', ''))
  return Object.assign(place, made)
}

export function hook(place, restrictionParams) {
  const b24 = B24Hook.fromWebhookUrl(place.webhook_url, { restrictionParams })
  b24.offClientSideWarning()
  return b24
}

export function call(b24, method, params) {
  return b24.actions.v2.call.make({ method, params })
}

/** The result of a call that has to succeed. */
export async function result(b24, method, params) {
  const answer = await call(b24, method, params)
  if (!answer.isSuccess) throw new Error(answer.getErrorMessages().join('; '))
  return answer.getData().result
}

/** An application, installed, and the SDK's client for it. */
export async function installed(place, settings = {}) {
  const application = await place.post('applications', settings)
  const does = (action, body) => place.post(`applications/${application.client_id}/${action}`, body)
  return { ...application, does, b24: client(place, application, await does('install')) }
}

export function client(place, application, pair, changes = {}) {
  const b24 = new B24OAuth(
    {
      applicationToken: application.application_token,
      userId: pair.user_id,
      memberId: place.member_id,
      accessToken: pair.access_token,
      refreshToken: pair.refresh_token,
      expires: Math.floor(pair.expires),
      expiresIn: 3600,
      scope: 'im,imbot,user',
      domain: place.address.replace('https://', ''),
      clientEndpoint: `${place.address}/rest/`,
      serverEndpoint: `${facts.oauth}/rest/`,
      status: 'L',
      ...changes,
    },
    { clientId: application.client_id, clientSecret: application.client_secret },
  )
  b24.offClientSideWarning()
  return b24
}
