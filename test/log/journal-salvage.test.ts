import * as assert from 'uvu/assert'
import { SimClock } from '../sim/sim-clock.ts'
import {
  checkHealthy,
  checkpointsOf,
  contents,
  framesOf,
  journalsOf,
  NAME,
  newStore,
  open,
  partitionOf,
  settle,
  upTo,
} from '../support/recovered-log.ts'
import type { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('journal salvage')

const segmentsOf = (fs: SimFileSystem) =>
  fs.paths().filter((path) => path.includes(`/${NAME}/`) && path.endsWith('.log'))

async function syncAll(fs: SimFileSystem): Promise<void> {
  for (const path of fs.paths()) {
    const file = await fs.open(path, 'write')
    await file.sync()
    await file.close()
    await fs.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  }
}

/** First offset of the frame behind the damage. */
const LAST = 246

interface Broken {
  killed: SimFileSystem
  /** Of the segments. */
  end: number
  bases: number[]
  kept: number
}

/**
 * Segments up to `end` that no checkpoint knows of, and a journal that has only the first of its frames:
 * those of the records below `kept`, and the last one, which tells that some are gone.
 */
async function brokenJournal(
  seed: number,
  keptOf: (end: number, bases: number[]) => number = () => 180,
): Promise<Broken> {
  const { fs, log } = await newStore(seed, 250)
  const end = partitionOf(log).sealedOffset
  const killed = fs.kill()
  await syncAll(killed)
  const bases = segmentsOf(killed).map((path) => Number(path.match(/(\d+)\.log$/)![1]))
  assert.ok(end > 200 && bases.length > 2, `${end} ${bases}`)
  assert.is(journalsOf(killed).length, 1)
  const { path } = journalsOf(killed)[0]!
  const frames = framesOf(killed.contents(path))
  // A frame has five records, but for the first and the last.
  const kept = 1 + 5 * Math.floor((keptOf(end, bases) - 1) / 5)
  const first = frames.length - 1 - (LAST - kept) / 5
  for (const position of frames.slice(first, -1)) killed.rot(path, position + 60)
  return { killed, end, bases, kept }
}

/** What a start says when something is lost for good. */
const isLoss = (line: string) => /lost \((their|bytes)/.test(line)

/** In the second segment, whose records the journal has. */
const DAMAGE: Record<string, (fs: SimFileSystem, path: string) => void> = {
  'a flipped bit': (fs, path) => fs.rot(path, 100),
  'a bad sector': (fs, path) => fs.spoil(path, 3000),
  'a file that ends too early': (fs, path) => fs.shorten(path, 2500),
  'a file that is gone': (fs, path) => fs.lose(path),
}

for (const [what, damage] of Object.entries(DAMAGE)) {
  test(`${what}: what a damaged journal still has comes back from there, and is no loss`, async () => {
    const { killed, end } = await brokenJournal(50)
    damage(killed, segmentsOf(killed)[1]!)
    const { log, lines } = await open(killed)
    const found = await contents(partitionOf(log))
    assert.equal(found.slice(0, end), upTo(end))
    assert.match(lines.join('\n'), /the journal still had them, and none of them is lost/)
    assert.equal(lines.filter(isLoss), [])
    await checkHealthy(killed, found)
  })
}

test('what is cut off behind the last good batch comes back as far as the journal has it', async () => {
  const { killed, end, kept } = await brokenJournal(51, (end) => end - 6)
  const last = segmentsOf(killed).at(-1)!
  killed.rot(last, killed.contents(last).length - 1)
  const { log, lines } = await open(killed)
  const found = await contents(partitionOf(log))
  assert.equal(found.slice(0, kept), upTo(kept))
  // Of empty records the first says why.
  const lost = ['rot', ...Array(LAST - kept - 1).fill('')]
  assert.ok(end > LAST)
  assert.equal(found.slice(kept), [...lost, ...upTo(250).slice(LAST)])
  assert.match(lines.join('\n'), /the journal still had them, and none of them is lost/)
  await checkHealthy(killed, found)
})

test('damage of which the journal has only a part costs the other part', async () => {
  const { killed, end, bases, kept } = await brokenJournal(52, (_, bases) => bases.at(-2)! + 40)
  const [from, to] = [bases.at(-2)!, bases.at(-1)!]
  const path = segmentsOf(killed).at(-2)!
  for (const isGone of [false, true]) {
    const copy = killed.clone(1)
    const { length } = copy.contents(path)
    for (let at = 0; at < length; at += 256) copy.rot(path, at)
    if (isGone) copy.lose(path)
    const { log } = await open(copy)
    const partition = partitionOf(log)
    const found = await contents(partition)
    assert.ok(from < kept && kept < to && to < end, `${from} ${kept} ${to} ${end}`)
    assert.equal(found.slice(0, kept), upTo(kept))
    assert.equal(found.slice(kept, to), ['rot', ...Array(to - kept - 1).fill('')])
    assert.equal(found.slice(to, end), upTo(end).slice(to))
    assert.is(partition.losses.totals.rot, to - kept)
    await checkHealthy(copy, found)
  }
})

test('a power cut before the checkpoint finds the same again, wherever it comes', async () => {
  for (const isGone of [false, true]) {
    const { killed, end } = await brokenJournal(53)
    if (isGone) killed.lose(segmentsOf(killed)[1]!)
    else killed.rot(segmentsOf(killed)[1]!, 100)
    let steps = 0
    for (let step = 0; step <= steps; step += 3) {
      const disk = killed.clone(step)
      steps = 0
      // What a dead process still waits for does not end.
      const died = new Promise<SimFileSystem>((resolve) => {
        disk.faults.onStep = () => {
          if (steps++ === step) resolve(disk.crash())
        }
      })
      const first = await Promise.race([died, open(disk).catch(() => died)])
      disk.faults.onStep = () => {}
      const { log, lines } = 'log' in first ? first : await open(first)
      const found = await contents(partitionOf(log))
      assert.equal(found.slice(0, end), upTo(end), `step ${step}`)
      assert.equal(lines.filter(isLoss), [], `step ${step}`)
    }
  }
})

test('while the disk refuses what is to be put back no checkpoint lets go of the journal', async () => {
  for (const code of ['EIO', 'ENOSPC']) {
    for (const [operation, path] of [
      ['open', '.log.rewrite'],
      ['write', '.log.rewrite'],
      ['sync', '.log.rewrite'],
      ['syncDirectory', NAME],
    ] as const) {
      for (const isGone of [false, true]) {
        const { killed, end } = await brokenJournal(54)
        const damaged = segmentsOf(killed)[1]!
        if (isGone) killed.lose(damaged)
        else killed.rot(damaged, 100)
        const before = checkpointsOf(killed).map(({ number }) => number)
        for (let tries = 0; tries < 100; tries++) killed.failNext(operation, { path, code })
        const clock = new SimClock(Date.UTC(2026, 0, 1))
        const { log, lines } = await clock.until(open(killed, { clock }))
        assert.match(lines.join('\n'), /no checkpoint/)
        assert.is(partitionOf(log).highWatermark, 250)
        const left = checkpointsOf(killed).map(({ number }) => number)
        if (path !== NAME) assert.equal(left, before)
        assert.is(left.at(-1), before.at(-1))
        const after = killed.clone(1)
        assert.is(log.health().ok, false)
        killed.failNoMore()
        clock.advance(2000)
        await settle()
        assert.is(log.health().ok, true, log.health().reasons.join())
        for (const each of [log, (await open(after)).log]) {
          const found = await contents(partitionOf(each))
          assert.equal(found.slice(0, end), upTo(end), `${code} ${operation}`)
        }
        assert.equal(lines.filter(isLoss), [])
      }
    }
  }
})

test.run()
