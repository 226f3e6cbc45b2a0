import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { ConfigurationServer, fetchConfiguration } from '../../firmware-sim/configuration.ts'
import type { DeviceSettings } from '../../firmware-sim/device.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/configuration')

/** Runs `use` with a server that answers as told, and closes it. */
async function withServer(
  answer: RequestListener,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

async function faultOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('expected a fault')
}

test('a device gets its settings, and 304 until they change', async () => {
  const settings = new Map<string, DeviceSettings>([['dev-1', { intervalMs: 500, format: 'cbor' }]])
  const server = await ConfigurationServer.listen((device) => settings.get(device))
  try {
    const url = server.url.replace('{device}', 'dev-1')
    const first = await fetchConfiguration({ url })
    if (first.kind !== 'fresh') throw new Error('expected fresh settings')
    assert.equal(first.settings, { intervalMs: 500, format: 'cbor' })
    assert.equal(await fetchConfiguration({ url, etag: first.etag }), { kind: 'unchanged' })
    settings.set('dev-1', { intervalMs: 900 })
    const changed = await fetchConfiguration({ url, etag: first.etag })
    assert.equal(changed.kind === 'fresh' && changed.settings, { intervalMs: 900 })
    const unknown = await faultOf(fetchConfiguration({ url: server.url.replace('{device}', 'x') }))
    assert.is(unknown.code, 'SIM_REFUSED')
    assert.match(unknown.message, 'HTTP 404')
  } finally {
    await server.close()
  }
})

test('a server in trouble is asked again, as often as allowed', async () => {
  let requests = 0
  const answer: RequestListener = (_, response) => {
    requests++
    if (requests < 3) response.writeHead(503).end('busy')
    else response.end('{"intervalMs":1}')
  }
  await withServer(answer, async (url) => {
    const outcome = await fetchConfiguration({ url, backOffMs: 1 })
    assert.equal(outcome, { kind: 'fresh', settings: { intervalMs: 1 }, etag: undefined })
    assert.is(requests, 3)
  })
  requests = -100
  await withServer(answer, async (url) => {
    const fault = await faultOf(fetchConfiguration({ url, backOffMs: 1, attempts: 2 }))
    assert.is(fault.code, 'SIM_UNREACHABLE')
    assert.match(fault.message, 'HTTP 503 (2 attempts)')
    assert.is(requests, -98)
  })
})

test('an answer that waiting cannot cure is not asked for again', async () => {
  let requests = 0
  const bodies: [number, string, string][] = [
    [403, 'no', 'HTTP 403'],
    [200, 'not json', 'is not JSON'],
    [200, '[1]', 'expected an object'],
    [200, '{"intervallMs":5}', 'did you mean intervalMs?'],
    [200, '{"intervalMs":0}', 'at least 1'],
    [200, '{"mqttTopic":"a/#"}', 'without + and #'],
    [200, '{"format":"xml"}', 'json or cbor'],
    [200, '{"isEnabled":1}', 'true or false'],
    [200, `{"x":"${'y'.repeat(5_000)}"}`, 'more than 1000 bytes'],
  ]
  for (const [status, body, expected] of bodies) {
    requests = 0
    const answer: RequestListener = (_, response) => {
      requests++
      response.writeHead(status).end(body)
    }
    await withServer(answer, async (url) => {
      const fault = await faultOf(fetchConfiguration({ url, backOffMs: 1, maxBytes: 1_000 }))
      assert.is(fault.code, 'SIM_REFUSED', expected)
      assert.match(fault.message, expected)
      assert.is(requests, 1)
    })
  }
})

test('silence ends by the time limit, a stop at once', async () => {
  const silence: RequestListener = () => {}
  await withServer(silence, async (url) => {
    const late = await faultOf(fetchConfiguration({ url, timeoutMs: 20, attempts: 1 }))
    assert.match(late.message, 'no answer within 20 ms')
    const stop = new AbortController()
    const stopped = faultOf(fetchConfiguration({ url, signal: stop.signal }))
    stop.abort()
    assert.match((await stopped).message, 'stopped')
  })
})

test('a body that trickles does not outlive the limit', async () => {
  const trickle: RequestListener = (_, response) => {
    response.writeHead(200)
    response.write('{')
  }
  await withServer(trickle, async (url) => {
    const late = await faultOf(fetchConfiguration({ url, timeoutMs: 30, attempts: 1 }))
    assert.match(late.message, 'no answer within 30 ms')
  })
})

test('nobody listening is a fault with its reason', async () => {
  const fault = await faultOf(fetchConfiguration({ url: 'http://127.0.0.1:1/', attempts: 1 }))
  assert.is(fault.code, 'SIM_UNREACHABLE')
  assert.match(fault.message, 'ECONNREFUSED')
})

test('the server refuses other pages, other methods and malformed ids', async () => {
  const server = await ConfigurationServer.listen(() => ({}))
  try {
    const base = server.url.replace('/devices/{device}/configuration', '')
    const status = async (path: string, method = 'GET') =>
      (await fetch(base + path, { method })).status
    assert.is(await status('/devices/a/configuration'), 200)
    assert.is(await status('/devices/a/configuration', 'PUT'), 405)
    assert.is(await status('/devices/a/b/configuration'), 404)
    assert.is(await status('/devices/%zz/configuration'), 400)
    assert.is(await status('/'), 404)
  } finally {
    await server.close()
  }
})

test.run()
