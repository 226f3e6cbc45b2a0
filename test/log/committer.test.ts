import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('committer')

/** What reaches the top of the event loop, where it would end the process. */
class WatchedClock extends SimClock {
  readonly uncaught: unknown[] = []

  override soon(run: () => void): void {
    super.soon(() => {
      try {
        run()
      } catch (error) {
        this.uncaught.push(error)
      }
    })
  }
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 2000; turns++) await undefined
}

test('a listener that throws ends the process by its own name, not as a broken journal', async () => {
  const clock = new WatchedClock(0)
  const log = await openSmallLog(new SimFileSystem(1), { clock })
  const cause = new AgentError('TIMEOUT', 'no such client')
  log.onCommit(() => {
    throw cause
  })
  log.requestCommit()
  await settle()
  assert.is(clock.uncaught.length, 1)
  const [error] = clock.uncaught as Error[]
  assert.match(
    error!.message,
    /^broken invariant: what follows a commit never throws .*no such client/,
  )
  assert.is(error!.cause, cause)
  assert.equal(log.health(), { ok: true, reasons: [] })
})

test('a disk that takes no frame withholds acks, says so, and goes on by itself', async () => {
  const fs = new SimFileSystem(2)
  const clock = new WatchedClock(0)
  const log = await openSmallLog(fs, { clock })
  for (let round = 0; round < 12; round++) {
    for (let tries = 0; tries < 10; tries++) fs.failNext('write', { path: 'journal-' })
    let isDurable = false
    const commit = log.openCommit
    log.state.put('round', Buffer.from(String(round)))
    log.durable(commit).then(() => (isDurable = true))
    await settle()
    assert.is(isDurable, false)
    assert.match(log.health().reasons.join(), /the journal cannot be written .*acked until it can/)
    fs.failNoMore()
    for (let second = 0; second < 3; second++) {
      clock.advance(1000)
      await settle()
    }
    assert.is(isDurable, true, `round ${round}`)
    assert.is(log.health().ok, true)
  }
  const journals = (await fs.list('/store')).filter((name) => name.startsWith('journal-'))
  assert.ok(journals.length <= 8, journals.join())
  assert.equal(clock.uncaught, [])
  const next = await openSmallLog(fs.crash(), { clock: new WatchedClock(0) })
  assert.is(next.state.get('round')?.toString(), '11')
})

test('a log that ends waits for no disk, and whoever waits is told', async () => {
  const fs = new SimFileSystem(3)
  const clock = new WatchedClock(0)
  const log = await openSmallLog(fs, { clock })
  for (let tries = 0; tries < 1000; tries++) fs.failNext('write', { path: 'journal-' })
  const waiting = log.durable(log.openCommit).catch((error) => error)
  log.requestCommit()
  await settle()
  const closing = log.close().catch((error) => error)
  for (let second = 0; second < 3; second++) {
    clock.advance(1000)
    await settle()
  }
  const told = await waiting
  assert.is(told.code, 'STORAGE_IO')
  assert.match(told.message, /^the journal cannot be written/)
  assert.is((await closing).code, 'STORAGE_IO')
  assert.equal(clock.uncaught, [])
})

test.run()
