import * as assert from 'uvu/assert'
import { OpenFiles } from '../../agent/log/open-files.ts'
import { IndexCache, type IndexKind, SegmentIndex } from '../../agent/log/segment-index.ts'
import { kernel } from '../support/batches.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('segment index')
const KINDS: IndexKind[] = ['offset', 'time']

async function setUp(slots = 4) {
  const fs = new SimFileSystem(1)
  await fs.makeDirectory('/p')
  const files = new OpenFiles(fs, 4)
  const cache = new IndexCache(kernel, slots)
  const make = (kind: IndexKind) => new SegmentIndex(kind, `/p/${kind}`, files, cache)
  return { fs, files, cache, make }
}

/** Entries with keys 10, 20, … and values 100, 200, … */
function fill(index: SegmentIndex, from: number, to: number): void {
  for (let order = from; order < to; order++) index.append(order * 10 + 10, order * 100 + 100)
}

const floorOf = (key: number, count: number) => {
  const order = Math.min(Math.floor(key / 10), count)
  return order < 1 ? { kind: 'none' } : { kind: 'entry', key: order * 10, value: order * 100 }
}

test('writes offset entries as Kafka does', async () => {
  const { fs, make } = await setUp()
  const index = make('offset')
  index.append(3, 4100)
  index.append(70_000, 0x7fffffff)
  await index.flush()
  assert.is(fs.contents('/p/offset').toString('hex'), '0000000300001004000111707fffffff')
})

test('writes time entries as Kafka does', async () => {
  const { fs, make } = await setUp()
  const index = make('time')
  index.append(1_700_000_000_000, 5)
  await index.flush()
  assert.is(fs.contents('/p/time').toString('hex'), '0000018bcfe5680000000005')
})

test('finds the last entry not above a key, in memory, in the file and across both', async () => {
  const count = 2000
  for (const kind of KINDS) {
    for (const flushed of [0, 1, 341, 512, 1500, count]) {
      const { make } = await setUp()
      const index = make(kind)
      fill(index, 0, flushed)
      await index.flush()
      fill(index, flushed, count)
      for (let key = 0; key < count * 10 + 30; key += 777) {
        assert.equal(await index.lookup(key), floorOf(key, count), `${kind} ${flushed} ${key}`)
      }
      assert.equal(await index.last(), floorOf(count * 10, count))
    }
  }
})

test('finds the same with one page of memory for two indexes', async () => {
  const { make } = await setUp(1)
  const [offsets, times] = [make('offset'), make('time')]
  for (const index of [offsets, times]) {
    fill(index, 0, 1500)
    await index.flush()
  }
  const random = new SeededRandom(2)
  const keys = Array.from({ length: 100 }, () => random.below(15_100))
  const found = await Promise.all(keys.flatMap((key) => [offsets.lookup(key), times.lookup(key)]))
  keys.forEach((key, order) => {
    assert.equal(found[2 * order], floorOf(key, 1500))
    assert.equal(found[2 * order + 1], floorOf(key, 1500))
  })
})

test('sees an entry that is added to a page in the cache', async () => {
  const { make } = await setUp()
  for (const kind of KINDS) {
    const index = make(kind)
    fill(index, 0, 600)
    assert.equal(await index.last(), floorOf(6000, 600))
    fill(index, 600, 601)
    assert.equal(await index.last(), floorOf(6010, 601))
  }
})

test('opens again as it was written', async () => {
  const { fs, make } = await setUp()
  for (const kind of KINDS) {
    const index = make(kind)
    fill(index, 0, 700)
    await index.sync()
    await index.close()
    const again = make(kind)
    assert.ok(again.adopt(await fs.size(`/p/${kind}`)))
    assert.is(again.count, 700)
    assert.equal(await again.lookup(3333), floorOf(3333, 700))
  }
})

test('takes no file that is missing or has half an entry', async () => {
  const { make } = await setUp()
  assert.not.ok(make('offset').adopt(undefined))
  assert.not.ok(make('offset').adopt(12))
  assert.not.ok(make('time').adopt(16))
  assert.ok(make('time').adopt(0))
})

test('says that a page which does not rise is bad, also when the file ends early', async () => {
  const { fs, make } = await setUp()
  for (const kind of KINDS) {
    const index = make(kind)
    fill(index, 0, 100)
    await index.flush()
    const file = await fs.open(`/p/${kind}`, 'write')
    await file.write([Buffer.alloc(24)], 240)
    const again = make(kind)
    again.adopt(await file.size())
    assert.equal(await again.lookup(500), { kind: 'bad' })
    assert.not.ok(await again.cut(1000))
    const short = make(kind)
    short.adopt(1200)
    await file.truncate(120)
    assert.equal(await short.lookup(500), { kind: 'bad' })
  }
})

test('cuts the entries from a value on, in the file and in memory', async () => {
  for (const kind of KINDS) {
    for (const [flushed, cut] of [
      [1000, 0],
      [1000, 350],
      [1000, 341],
      [1000, 1000],
      [600, 800],
      [600, 300],
      [0, 10],
    ] as const) {
      const { make } = await setUp()
      const index = make(kind)
      fill(index, 0, flushed)
      await index.flush()
      fill(index, flushed, 1000)
      await index.last()
      assert.ok(await index.cut(cut * 100 + 100))
      assert.is(index.count, cut, `${kind} ${flushed} ${cut}`)
      fill(index, cut, cut + 20)
      await index.flush()
      assert.equal(await index.last(), floorOf((cut + 20) * 10, cut + 20))
    }
  }
})

test('leaves nothing of the old file when it begins anew', async () => {
  const { fs, make } = await setUp()
  const old = make('offset')
  fill(old, 0, 100)
  await old.flush()
  const index = make('offset')
  index.clear()
  fill(index, 0, 2)
  await index.flush()
  assert.is(await fs.size('/p/offset'), 16)
  const empty = make('offset')
  empty.clear()
  await empty.flush()
  assert.is(await fs.size('/p/offset'), 0)
})

test('answers searches while entries are added and written', async () => {
  const { make } = await setUp(2)
  const index = make('offset')
  const searches: Promise<unknown>[] = []
  for (let order = 0; order < 3000; order++) {
    fill(index, order, order + 1)
    if (order % 97 === 0) {
      const key = order * 7
      searches.push(index.lookup(key).then((found) => assert.equal(found, floorOf(key, order + 1))))
    }
    if (index.needsFlush) await index.flush()
  }
  await Promise.all(searches)
  assert.ok(searches.length > 30)
})

test('a page that is read while entries move from memory to the file is read again', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const fs = new SimFileSystem(seed)
    await fs.makeDirectory('/p')
    const files = new OpenFiles(fs, 4)
    const index = new SegmentIndex('offset', '/p/offset', files, new IndexCache(kernel, 4))
    fill(index, 0, 300)
    await index.flush()
    fill(index, 300, 400)
    const search = index.lookup(3777)
    await index.flush()
    assert.equal(await search, floorOf(3777, 400), `seed ${seed}`)
    assert.equal(await index.last(), floorOf(4000, 400), `seed ${seed}`)
  }
})

test('gives the pages of a dropped index to others', async () => {
  const cache = new IndexCache(kernel, 2)
  const [first, second] = [cache.register(), cache.register()]
  cache.put(first, 0, Buffer.from([1]))
  cache.put(first, 1, Buffer.from([2]))
  cache.put(second, 0, Buffer.from([3]))
  assert.is(cache.find(first, 0), -1)
  assert.is(kernel.u8[cache.find(first, 1)], 2)
  cache.drop(first)
  assert.is(cache.find(first, 1), -1)
  cache.put(second, 1, Buffer.from([4]))
  assert.is(kernel.u8[cache.find(second, 0)], 3)
  assert.is(kernel.u8[cache.find(second, 1)], 4)
})

test.run()
