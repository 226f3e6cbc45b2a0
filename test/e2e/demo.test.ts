// `npm run demo` as a visitor runs it, only shorter; and that nothing stays behind when it is killed.

import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { AGENT_MAIN } from '../support/agent-process.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'

const test = suite('demo')

/** Its temporary folder lies in one of ours, so that what it leaves there is seen. */
function startDemo(args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-e2e-demo-'))
  const child = spawn(process.execPath, [AGENT_MAIN, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  })
  const told = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => (told.out += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (told.err += text))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  process.on('exit', () => child.kill('SIGKILL'))
  return { child, told, ended, folder }
}

/** Processes whose command line names the folder: the demo's agents. */
function agentsIn(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
    } catch {
      return false
    }
  })
}

const COUNT = String.raw`\d{1,3}(?:,\d{3})*`
const TIME = String.raw` \d\d:\d\d  `
const STORY = [
  String.raw`Tributary demo   40 devices → gateway → "cloud"   \(temp folder, free ports, pid \d+\)`,
  String.raw`(?:${TIME}slower .*\n)*${TIME}flowing +${COUNT} msg/s   ack p50 [\d.]+ ms   gateway ${COUNT}  cloud ${COUNT}  lag ${COUNT}`,
  `${TIME}LINK CUT     acks go on {21}gateway ${COUNT}  cloud ${COUNT}  lag ${COUNT}`,
  String.raw`${TIME}KILL -9 gateway … back in [\d.]+ s, 0 acked lost; devices resend what was not acked`,
  `${TIME}LINK BACK    caught up ${COUNT} records in .*`,
  String.raw`${TIME}PROOF  QoS 2, (${COUNT}) published = gateway = cloud   lost 0   twice 0   offsets same \1/\1`,
  String.raw` Next:  npm run demo -- --hold  \|  npx tributary init  \|  README: "your own Kafka"`,
]

test(
  'a cut link and a kill -9 later every record is the same at both ends',
  async () => {
    const { ended, told, folder } = startDemo(['--seconds', '15'])
    const code = await ended
    assert.equal([code, told.err], [0, ''], told.out)
    assert.match(told.out, new RegExp(`^${STORY.join('\n')}\n$`))
    assert.equal([readdirSync(folder), agentsIn(folder)], [[], []])
    rmSync(folder, { recursive: true })
  },
  { timeoutMs: 120_000 },
)

async function runningDemo() {
  const demo = startDemo(['--seconds', '60'])
  await waitUntil('both agents run', 30_000, () => agentsIn(demo.folder).length === 2)
  return demo
}

test(
  'a demo that is killed takes its agents along',
  async () => {
    const { child, ended, folder } = await runningDemo()
    child.kill('SIGKILL')
    await ended
    await waitUntil('the agents are gone', 10_000, () => agentsIn(folder).length === 0)
    rmSync(folder, { recursive: true })
  },
  { timeoutMs: 60_000 },
)

test(
  'one Ctrl-C ends it cleanly, without a proof and without remains',
  async () => {
    const { child, ended, told, folder } = await runningDemo()
    child.kill('SIGINT')
    assert.is(await ended, 1)
    assert.match(told.out, /\n ENDED {2}stopped before the proof\n$/)
    assert.equal([readdirSync(folder), agentsIn(folder)], [[], []])
    rmSync(folder, { recursive: true })
  },
  { timeoutMs: 60_000 },
)

test.run()
