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

test('a disk that takes no frame is a fault: who waits is told, the process lives', async () => {
  const fs = new SimFileSystem(2)
  const clock = new WatchedClock(0)
  const log = await openSmallLog(fs, { clock })
  for (let tries = 0; tries < 10; tries++) fs.failNext('write', { path: 'journal-' })
  const waiting = log.durable(log.openCommit)
  log.requestCommit()
  const told = await waiting.catch((error) => error)
  assert.is(told.code, 'STORAGE_IO')
  assert.match(told.message, /^the journal cannot be written/)
  assert.equal(clock.uncaught, [])
})

test.run()
