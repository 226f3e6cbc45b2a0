// The admin listener over real sockets on free ports of loopback.

import { connect } from 'node:net'
import { request } from 'undici'
import * as assert from 'uvu/assert'
import { HttpListener } from '../../agent/admin/http-listener.ts'
import { registerProcessMetrics } from '../../agent/admin/process-metrics.ts'
import type { Readiness, Status } from '../../agent/admin/status.ts'
import { codeOf } from '../../agent/base/errors.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { suite } from '../support/suite.ts'

const test = suite('admin http listener')

const metrics = new Metrics()
registerProcessMetrics(metrics, '0.1.0', Date.now)
let readiness: Readiness = { ok: true, reasons: [] }

function listen(ports: number[] = [0]): Promise<HttpListener> {
  return HttpListener.listen({
    addresses: ports.map((port) => ({ host: '127.0.0.1', port })),
    status: () => ({ gateway: 'plant-7' }) as Status,
    ready: () => readiness,
    metrics,
    logger: silentLogger,
  })
}

const listener = await listen()
const [address] = listener.addresses
test.after(() => listener.close())

async function get(path: string, method = 'GET') {
  const { statusCode, headers, body } = await request(`http://${address}${path}`, { method })
  return { code: statusCode, headers, text: await body.text() }
}

test('healthz says that the process answers', async () => {
  const { code, text } = await get('/healthz')
  assert.equal([code, text], [200, 'ok\n'])
})

test('readyz is 503 with its reasons, one a line', async () => {
  assert.is((await get('/readyz')).code, 200)
  readiness = { ok: false, reasons: ['mqtt listener is down', 'disk full'] }
  const { code, text } = await get('/readyz')
  readiness = { ok: true, reasons: [] }
  assert.equal([code, text], [503, 'mqtt listener is down\ndisk full\n'])
})

test('status is JSON, whatever the query', async () => {
  const { headers, text } = await get('/status?pretty')
  assert.is(headers['content-type'], 'application/json')
  assert.equal(JSON.parse(text), { gateway: 'plant-7' })
})

test('metrics hold the build and the process', async () => {
  const { headers, text } = await get('/metrics')
  assert.match(String(headers['content-type']), 'version=0.0.4')
  assert.match(text, /^tributary_build_info\{version="0.1.0",node="[\d.]+"\} 1$/m)
  for (const name of ['cpu_seconds_total', 'resident_memory_bytes', 'open_fds']) {
    const value = new RegExp(`^process_${name} (\\S+)$`, 'm').exec(text)?.[1]
    assert.ok(Number(value) > 0, name)
  }
  const started = Number(/^process_start_time_seconds (\d+)$/m.exec(text)?.[1])
  assert.ok(Math.abs(started - (Date.now() / 1000 - process.uptime())) < 5)
})

test('other paths and methods get one line', async () => {
  const missing = await get('/')
  assert.equal(
    [missing.code, missing.text],
    [404, 'nothing here; there is /healthz /readyz /metrics /status\n'],
  )
  const posted = await get('/status', 'POST')
  assert.equal(
    [posted.code, posted.headers.allow, posted.text],
    [405, 'GET', 'only GET is answered here\n'],
  )
})

test('bytes that are no HTTP end their connection and nothing else', async () => {
  const port = Number(address!.split(':')[1])
  const answer = await new Promise<string>((resolve) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write('\0\0\0\x01GET\r\n\r\n'))
    socket.on('data', (chunk) => (text += chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
  assert.match(answer, '400 Bad Request')
  assert.is((await get('/healthz')).code, 200)
})

test('a taken port is one sentence, and what was opened before it is closed', async () => {
  const taken = Number(address!.split(':')[1])
  try {
    await listen([0, taken])
    assert.unreachable()
  } catch (error) {
    assert.is(codeOf(error), 'LISTENER_IN_USE')
    assert.is((error as Error).message, `${taken} is in use (another agent?): set admin.listeners`)
  }
})

test('after close nothing answers', async () => {
  const other = await listen()
  const url = `http://${other.addresses[0]}/healthz`
  assert.is((await request(url)).statusCode, 200)
  await other.close()
  try {
    await request(url)
    assert.unreachable()
  } catch (error) {
    assert.is(codeOf(error), 'ECONNREFUSED')
  }
})

test.run()
