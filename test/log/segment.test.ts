import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { Segment } from '../../agent/log/segment.ts'
import { baseOffsetOf } from '../../agent/log/segment-file.ts'
import { buildBatch } from '../../agent/record/record-batch.ts'
import { SEAL } from '../../wasm/assembly/limits.ts'
import { codecs, kernel, makeBatches } from '../support/batches.ts'
import {
  BASE,
  bytesOf,
  checkAll,
  contextOf,
  emptyStore,
  endOf,
  filled,
  INDEX,
  LOG,
  made,
  overwrite,
  TIME_INDEX,
} from '../support/filled-segment.ts'
import type { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('segment')

test('names its files as Kafka does', async () => {
  const { fs } = await filled(made(1))
  assert.equal(fs.paths(), [INDEX, LOG, TIME_INDEX])
  assert.is(baseOffsetOf('00000000000000001000.log'), 1000)
  for (const name of ['00000000000000001000.index', '1000.log', '00000000000000001000.log.bad']) {
    assert.is(baseOffsetOf(name), undefined)
  }
})

test('is made once only', async () => {
  const { context } = await filled(made(1))
  assert.is(await Segment.create(context, '/p', BASE).then(String, codeOf), 'EEXIST')
  const missing = Segment.open(context, '/p', BASE + 1, BASE + 2)
  assert.is(await missing.then(String, codeOf), 'CORRUPT_STORE')
})

test('holds the batches byte for byte, whether they come one by one or together', async () => {
  const batches = made(100)
  const { fs, segment } = await filled(batches)
  assert.equal(fs.contents(LOG), bytesOf(batches))
  assert.is(segment.size, bytesOf(batches).length)
  assert.is(segment.nextOffset, endOf(batches))
  const other = await emptyStore()
  const whole = await Segment.create(other.context, '/p', BASE)
  await whole.append(bytesOf(batches))
  await whole.finish()
  assert.equal(other.fs.contents(LOG), fs.contents(LOG))
  assert.equal(other.fs.contents(INDEX), fs.contents(INDEX))
  assert.equal(other.fs.contents(TIME_INDEX), fs.contents(TIME_INDEX))
})

test('takes views of kernel memory', async () => {
  const [batch] = made(1)
  const { fs, context } = await emptyStore()
  const segment = await Segment.create(context, '/p', BASE)
  kernel.u8.set(batch!.bytes, SEAL)
  await segment.append(kernel.u8.subarray(SEAL, SEAL + batch!.bytes.length))
  kernel.u8.fill(0, SEAL, SEAL + 1000)
  assert.equal(fs.contents(LOG), batch!.bytes)
})

test('keeps the order of appends that are not awaited', async () => {
  const batches = made(50)
  const { fs, context } = await emptyStore()
  const segment = await Segment.create(context, '/p', BASE)
  await Promise.all(batches.map(({ bytes }) => segment.append(bytes)))
  assert.equal(fs.contents(LOG), bytesOf(batches))
})

test('refuses what is not the next whole batch', async () => {
  const [first, second, third] = made(3)
  const { context } = await emptyStore()
  const segment = await Segment.create(context, '/p', BASE)
  const refusal = (bytes: Buffer) =>
    segment.append(bytes).then(
      () => 'taken',
      (error) => error.message,
    )
  assert.match(await refusal(second!.bytes), 'follows')
  assert.match(await refusal(Buffer.alloc(0)), 'whole batches')
  assert.match(await refusal(first!.bytes.subarray(0, 100)), 'whole batches')
  assert.is(await refusal(first!.bytes), 'taken')
  assert.match(await refusal(third!.bytes), 'follows')
  assert.is(await refusal(Buffer.concat([second!.bytes, third!.bytes])), 'taken')
})

test('finds the position of every offset', async () => {
  const batches = made(300)
  const { segment } = await filled(batches)
  await checkAll(segment, batches)
})

test('makes the index entries that Kafka makes', async () => {
  const batches = makeBatches(200, 5, { baseOffset: BASE, isOrdered: false })
  const { fs } = await filled(batches)
  const [index, timeIndex] = [fs.contents(INDEX), fs.contents(TIME_INDEX)]
  const expected: number[] = []
  const expectedTimes: number[] = []
  let [since, maxTime, maxTimeOffset, lastTime] = [0, -1, 0, -1]
  const indexTime = () => {
    if (maxTime > lastTime) expectedTimes.push((lastTime = maxTime), maxTimeOffset)
  }
  for (const { bytes, position, nextOffset, timestamps } of batches) {
    const latest = Math.max(...timestamps)
    if (latest > maxTime) [maxTime, maxTimeOffset] = [latest, nextOffset - 1 - BASE]
    if (since > 4096) {
      expected.push(nextOffset - 1 - BASE, position)
      indexTime()
      since = 0
    }
    since += bytes.length
  }
  indexTime()
  const entries = Array.from({ length: index.length / 4 }, (_, at) => index.readInt32BE(at * 4))
  assert.equal(entries, expected)
  assert.ok(entries.length > 20)
  const times = Array.from({ length: timeIndex.length / 12 }, (_, at) => [
    Number(timeIndex.readBigInt64BE(at * 12)),
    timeIndex.readInt32BE(at * 12 + 8),
  ])
  assert.equal(times.flat(), expectedTimes)
})

test('indexes a batch that begins more than 4096 bytes behind the last, not exactly as many', async () => {
  const sized = (size: number, offset: number) => {
    const record = (length: number) => [
      { timestamp: offset, key: null, value: Buffer.alloc(length) },
    ]
    const overhead = buildBatch(record(1000), { codecs, baseOffset: offset }).length - 1000
    const batch = buildBatch(record(size - overhead), { codecs, baseOffset: offset })
    assert.is(batch.length, size)
    return batch
  }
  for (const [size, entries] of [
    [4096, 0],
    [4097, 1],
  ] as const) {
    const { fs, context } = await emptyStore()
    const segment = await Segment.create(context, '/p', BASE)
    await segment.append(sized(size, BASE))
    await segment.append(sized(1100, BASE + 1))
    await segment.finish()
    assert.is(await fs.size(INDEX), entries * 8)
  }
})

test('reads whole batches from the one that holds an offset', async () => {
  const batches = made(60)
  const { segment } = await filled(batches)
  for (const [order, batch] of batches.entries()) {
    for (const maxBytes of [1, 700, 3000]) {
      let count = 1
      while (order + count < batches.length) {
        if (bytesOf(batches.slice(order, order + count + 1)).length > maxBytes) break
        count++
      }
      const expected = batches.slice(order, order + count)
      assert.equal(await segment.readBatchesAt(batch.nextOffset - 1, maxBytes), {
        kind: 'batches',
        bytes: bytesOf(expected),
        baseOffset: batch.baseOffset,
        nextOffset: endOf(expected),
      })
    }
  }
})

test('reads a batch that is larger than asked for', async () => {
  const { context } = await emptyStore()
  const segment = await Segment.create(context, '/p', BASE)
  const records = [{ timestamp: 1, key: null, value: Buffer.alloc(300_000, 7) }]
  const large = buildBatch(records, { codecs, baseOffset: BASE })
  await segment.append(large)
  const read = await segment.readBatchesAt(BASE, 1000)
  assert.ok(read.kind === 'batches')
  assert.equal(read.bytes, large)
})

test('follows a sequential reader without a search', async () => {
  const batches = made(300)
  const { fs, segment } = await filled(batches)
  let reads = 0
  fs.faults.onStep = ({ operation }) => operation === 'read' && reads++
  const parts: Buffer[] = []
  for (let offset = BASE; offset < endOf(batches); ) {
    const read = await segment.readBatchesAt(offset, 2000)
    assert.ok(read.kind === 'batches')
    parts.push(read.bytes)
    offset = read.nextOffset
  }
  assert.equal(Buffer.concat(parts), bytesOf(batches))
  assert.ok(reads < parts.length + 10, `${reads} reads for ${parts.length} pieces`)
})

test('sees an append at once, and only then', async () => {
  const batches = made(40)
  const { context } = await emptyStore()
  const segment = await Segment.create(context, '/p', BASE)
  await segment.append(batches[0]!.bytes)
  let seen = 0
  const reader = (async () => {
    let next = BASE
    while (next < endOf(batches)) {
      if (next === segment.nextOffset) {
        await undefined
        continue
      }
      const read = await segment.readBatchesAt(next, 1e6)
      assert.ok(read.kind === 'batches')
      next = read.nextOffset
      seen++
    }
  })()
  for (const { bytes } of batches.slice(1)) await segment.append(bytes)
  await reader
  assert.ok(seen > 1)
})

test('opens without reading, however many segments there are', async () => {
  const { fs, context } = await emptyStore()
  const batches = made(60)
  for (const { bytes, baseOffset } of batches) {
    const segment = await Segment.create(context, '/p', baseOffset)
    await segment.append(bytes)
    await segment.finish()
    await segment.sync()
    await segment.close()
  }
  const operations: string[] = []
  fs.faults.onStep = ({ operation }) => operations.push(operation)
  const later = contextOf(fs)
  const segments: Segment[] = []
  for (const { baseOffset, nextOffset } of batches) {
    segments.push(await Segment.open(later, '/p', baseOffset, nextOffset))
  }
  assert.equal([...new Set(operations)], ['size'])
  for (const segment of segments) await segment.readBatchesAt(segment.baseOffset, 1)
  assert.ok(fs.counts.openFiles <= 4 + 4, `${fs.counts.openFiles} files are open`)
})

test('works with what another run left', async () => {
  const batches = made(200)
  const { fs, segment } = await filled(batches)
  await segment.close()
  const again = await Segment.open(contextOf(fs), '/p', BASE, endOf(batches))
  assert.is(again.size, bytesOf(batches).length)
  await checkAll(again, batches)
  assert.is(await again.maxTimestamp(), batches.at(-1)!.timestamps.at(-1))
})

test('makes missing and wrong indexes again, as they were', async () => {
  const batches = made(300)
  const damages: ((fs: SimFileSystem) => Promise<void>)[] = [
    (fs) => fs.remove(INDEX),
    (fs) => fs.remove(TIME_INDEX),
    (fs) => overwrite(fs, INDEX, 0, Buffer.alloc(64)),
    (fs) => overwrite(fs, INDEX, 36, Buffer.from([0, 0, 0, 99])),
    // Entries that rise but belong to no batch: one offset too low, one too high.
    async (fs) => fs.rot(INDEX, 83, fs.contents(INDEX)[83]! ^ (fs.contents(INDEX)[83]! - 2)),
    async (fs) => fs.rot(INDEX, 91, fs.contents(INDEX)[91]! ^ (fs.contents(INDEX)[91]! + 2)),
    (fs) => overwrite(fs, TIME_INDEX, 12, Buffer.alloc(5)),
    async (fs) => (await fs.open(INDEX, 'write')).truncate(61),
  ]
  for (const [order, damage] of damages.entries()) {
    const { fs, segment } = await filled(batches)
    await segment.close()
    const [index, timeIndex] = [fs.contents(INDEX), fs.contents(TIME_INDEX)]
    await damage(fs)
    const again = await Segment.open(contextOf(fs), '/p', BASE, endOf(batches))
    await checkAll(again, batches)
    const found = await again.offsetForTime(batches[150]!.timestamps[0]!)
    assert.is(found?.offset, batches[150]!.baseOffset, `damage ${order}`)
    assert.equal(fs.contents(INDEX), index, `damage ${order}`)
    assert.equal(fs.contents(TIME_INDEX), timeIndex, `damage ${order}`)
  }
})

test('a segment that is finished again keeps its indexes as they are', async () => {
  const batches = made(100)
  const { fs, context, segment } = await filled(batches)
  await segment.close()
  const [index, times] = [fs.contents(INDEX), fs.contents(TIME_INDEX)]
  const again = await Segment.open(context, '/p', BASE, endOf(batches))
  assert.is(await again.maxTimestamp(), batches.at(-1)!.timestamps.at(-1))
  await again.finish()
  assert.equal([fs.contents(INDEX), fs.contents(TIME_INDEX)], [index, times])
})

test('says where a batch is damaged, and still reads what is behind it', async () => {
  const batches = made(300)
  const { fs, segment } = await filled(batches)
  const bad = batches[100]!
  for (let at = 0; at < 30; at++) fs.rot(LOG, bad.position + at, 0xff)
  const read = await segment.readBatchesAt(bad.baseOffset, 1000)
  assert.is(read.kind, 'corrupt')
  assert.is(read.kind === 'corrupt' && read.position, bad.position)
  const fault = await segment.positionOf(bad.nextOffset).then(String, codeOf)
  assert.is(fault, 'CORRUPT_STORE')
  for (const later of batches.slice(140)) {
    assert.is((await segment.readBatchesAt(later.baseOffset, 1)).kind, 'batches')
  }
})

test('finds the first record at or after a time', async () => {
  for (const isOrdered of [true, false]) {
    const batches = makeBatches(150, 9, { baseOffset: BASE, isOrdered })
    const { segment } = await filled(batches)
    const records = batches.flatMap(({ timestamps, baseOffset }) =>
      timestamps.map((timestamp, order) => ({ offset: baseOffset + order, timestamp })),
    )
    const latest = Math.max(...records.map(({ timestamp }) => timestamp))
    for (let time = 0; time <= latest + 20; time += 35) {
      for (const from of [BASE, BASE + 111]) {
        const expected = records.find((record) => record.timestamp >= time && record.offset >= from)
        assert.equal(await segment.offsetForTime(time, from), expected, `${time} from ${from}`)
      }
    }
  }
})

test.run()
