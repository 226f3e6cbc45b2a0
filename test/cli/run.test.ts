// tributary run around an agent that is only a stand-in: the ready line, signals, faults.

import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import { type RunningAgent, readyLine, serve } from '../../agent/cli/run.ts'
import { VERSION } from '../../agent/cli/version.ts'
import { loadConfig } from '../../agent/config/loading.ts'
import type { Config } from '../../agent/config/schema.ts'
import { suite } from '../support/suite.ts'
import { TestTerminal } from './test-terminal.ts'

const test = suite('cli run')

async function configured(environment: NodeJS.ProcessEnv = {}): Promise<Config> {
  const outcome = await loadConfig({ environment, directory: '/', required: false })
  if (outcome.kind === 'invalid') throw new Error(outcome.problems.join('\n'))
  return outcome.config
}

class StandIn implements RunningAgent {
  readonly addresses = ['mqtt://127.0.0.1:1883', '127.0.0.1:9092']
  readonly admin = '127.0.0.1:9883'
  closed = 0
  fail = (_: Error) => {}
  readonly failed = new Promise<Error>((resolve) => {
    this.fail = resolve
  })

  async close(): Promise<void> {
    this.closed++
  }
}

const READY = `tributary ${VERSION} ready: mqtt://127.0.0.1:1883  kafka 127.0.0.1:9092  admin http://127.0.0.1:9883`

test('one ready line names every address, and how to open MQTT when it is loopback-only', async () => {
  assert.is(
    readyLine(await configured(), new StandIn()),
    `${READY}  (MQTT only from this machine; to open it: mqtt.listeners: ["mqtt://0.0.0.0:1883"] and mqtt.usersFile)`,
  )
})

test('an open gateway is told by its name and needs no advice', async () => {
  const config = await configured({
    TRIBUTARY_GATEWAY: 'plant-7',
    TRIBUTARY_MQTT_LISTENERS: 'mqtt://0.0.0.0:1883',
    TRIBUTARY_MQTT_ALLOW_ANONYMOUS: 'true',
  })
  assert.is(readyLine(config, new StandIn()), READY.replace('ready', 'ready as plant-7'))
})

test('a signal closes the agent and is exit 0', async () => {
  const terminal = new TestTerminal({})
  const agent = new StandIn()
  const running = serve(async () => agent, await configured(), terminal)
  while (terminal.stdout.text === '') await new Promise(setImmediate)
  assert.is(agent.closed, 0)
  terminal.interrupt()
  assert.is(await running, 0)
  assert.is(agent.closed, 1)
  assert.is(terminal.listening, 0)
  assert.is(terminal.stdout.text.split('\n').length, 2)
})

test('an agent that only a restart helps is closed, and says why', async () => {
  const terminal = new TestTerminal({})
  const agent = new StandIn()
  const running = serve(async () => agent, await configured(), terminal).catch((error) => error)
  while (terminal.stdout.text === '') await new Promise(setImmediate)
  const fault = new AgentError('STORAGE_IO', 'start again')
  agent.fail(fault)
  assert.is(await running, fault)
  assert.equal([agent.closed, terminal.listening], [1, 0])
})

test('an agent that does not start leaves no signal handler and no ready line', async () => {
  const terminal = new TestTerminal({})
  const fault = new AgentError('LISTENER_IN_USE', '1883 is in use (mosquitto?): set mqtt.listeners')
  const start = async () => {
    throw fault
  }
  try {
    await serve(start, await configured(), terminal)
    assert.unreachable()
  } catch (error) {
    assert.is(error, fault)
  }
  assert.equal([terminal.listening, terminal.stdout.text], [0, ''])
})

test('log lines go to stderr: text for people and the journal, else JSON', async () => {
  const lines = async (environment: NodeJS.ProcessEnv, isTTY: boolean) => {
    const terminal = new TestTerminal({ environment })
    terminal.stderr.isTTY = isTTY
    const running = serve(async () => new StandIn(), await configured(environment), terminal)
    terminal.interrupt()
    await running
    return terminal.stderr.text
  }
  assert.match(await lines({}, false), /^\{"time":/)
  assert.match(await lines({}, true), /^\d{4}-\S+ info {2}stopping/)
  assert.match(await lines({ JOURNAL_STREAM: '8:1' }, false), /^\d{4}-\S+ info /)
  assert.match(await lines({ TRIBUTARY_LOGGING_FORMAT: 'json' }, true), /^\{"time":/)
  assert.is(await lines({ TRIBUTARY_LOGGING_LEVEL: 'warn' }, true), '')
})

test.run()
