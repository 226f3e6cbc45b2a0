import * as assert from 'uvu/assert'
import {
  append,
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
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('journal salvage')

const segmentsOf = (fs: SimFileSystem) =>
  fs.paths().filter((path) => path.includes(`/${NAME}/`) && path.endsWith('.log'))

/**
 * Segments that no checkpoint knows of, and a journal that lacks frames at their end: up to `kept` it
 * has all, and a frame behind the damage tells that some are gone.
 */
async function brokenJournal(seed: number): Promise<{ killed: SimFileSystem; end: number }> {
  const { fs, log } = await newStore(seed, 250)
  const end = partitionOf(log).sealedOffset
  const killed = fs.kill()
  const { path } = journalsOf(killed).at(-1)!
  const frames = framesOf(killed.contents(path))
  for (const position of frames.slice(Math.floor(frames.length * 0.7), -1)) {
    killed.rot(path, position + 60)
  }
  assert.is(journalsOf(killed).length, 1)
  assert.ok(end > 200 && segmentsOf(killed).length > 2, `${end}`)
  return { killed, end }
}

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
    assert.equal(
      lines.filter((line) => /lost \((their|bytes)/.test(line)),
      [],
    )
    await checkHealthy(killed, found)
  })
}

test.run()
