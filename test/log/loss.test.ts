import * as assert from 'uvu/assert'
import { Losses, lossSentence, noLosses } from '../../agent/log/loss.ts'
import { HOLLOW_RECORDS_MAX, hollowBatch, isHollow } from '../../agent/log/made-batch.ts'
import { buildBatch, decodeRecords, readBatchHeader } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { suite } from '../support/suite.ts'

const test = suite('loss')

test('totals and ranges come back as they were remembered', () => {
  const losses = Losses.from(undefined)
  assert.equal(losses.totals, noLosses())
  losses.add({ from: 10, to: 20, reason: 'rot' })
  losses.add({ from: 20, to: 25, reason: 'rot' })
  losses.add({ from: 25, to: 26, reason: 'dropped' })
  const again = Losses.from(losses.toBytes())
  assert.equal(again.totals, { ...noLosses(), rot: 15, dropped: 1 })
  assert.is(again.total, 16)
  assert.equal(again.ranges, [
    { from: 10, to: 25, reason: 'rot' },
    { from: 25, to: 26, reason: 'dropped' },
  ])
})

test('of many ranges the newest are kept, and all are counted', () => {
  const losses = Losses.from(undefined)
  for (let from = 0; from < 1000; from += 10) losses.add({ from, to: from + 3, reason: 'journal' })
  assert.is(losses.total, 300)
  assert.is(losses.ranges.length, 16)
  assert.is(losses.ranges.at(-1)?.from, 990)
  assert.ok(losses.has({ from: 991, to: 993, reason: 'journal' }))
  assert.not.ok(losses.has({ from: 991, to: 994, reason: 'journal' }))
})

test('what is there after all is taken back, out of the middle too', () => {
  const losses = Losses.from(undefined)
  losses.add({ from: 0, to: 100, reason: 'dropped' })
  losses.takeBack({ from: 20, to: 30, reason: 'dropped' })
  losses.takeBack({ from: 90, to: 100, reason: 'dropped' })
  assert.equal(losses.totals, { ...noLosses(), dropped: 80 })
  assert.equal(losses.ranges, [
    { from: 0, to: 20, reason: 'dropped' },
    { from: 30, to: 90, reason: 'dropped' },
  ])
})

test('says which offsets, why, and what to do', () => {
  assert.is(
    lossSentence('gw.t-3', { from: 5, to: 9, reason: 'file' }),
    'gw.t-3: offsets 5 to 8 are lost (their segment file is gone); they are served as empty records;' +
      ' keep other programs out of the data directory',
  )
  assert.match(lossSentence('t-0', { from: 5, to: 6, reason: 'rot' }), 't-0: offset 5 is lost (')
})

test('a hollow batch is null records, the first of which says what is lost', () => {
  for (const [from, to] of [
    [0, 1],
    [7, 300],
    [HOLLOW_RECORDS_MAX - 2, HOLLOW_RECORDS_MAX],
    [5_000_000_000, 5_000_003_000],
  ] as const) {
    const batch = hollowBatch({ from, to, reason: 'rot' }, 1234, codecs)
    const header = readBatchHeader(batch)
    assert.is(header.crc, codecs.crc32c(batch.subarray(21)))
    assert.equal(
      [header.baseOffset, header.count, header.lastOffsetDelta, header.baseTimestamp],
      [from, to - from, to - from - 1, 1234],
    )
    assert.is(header.maxTimestamp, 1234)
    let offset = from
    for (const record of decodeRecords(batch, codecs)) {
      assert.is(record.offset, offset++)
      assert.is(record.timestamp, 1234)
      assert.is(record.key, null)
      assert.is(record.value, null)
      const headers = record.headers.map(([key, value]) => [String(key), String(value)])
      assert.equal(headers, record.offset === from ? [['edge-gap', `${from},${to - 1},rot`]] : [])
    }
    assert.is(offset, to)
  }
})

test('hollow batches end at multiples of 65,536 and take 1.5 bytes an offset', () => {
  const sizes: number[] = []
  let bytes = 0
  for (let from = 1000; from < 200_000; ) {
    const batch = hollowBatch({ from, to: 200_000, reason: 'dropped' }, 0, codecs)
    sizes.push(readBatchHeader(batch).count)
    bytes += batch.length
    from += sizes.at(-1)!
  }
  assert.equal(sizes, [64_536, 65_536, 65_536, 3392])
  assert.ok(bytes < 1.5 * 199_000, `${bytes} bytes`)
  const range = { from: 3, to: 900, reason: 'rot' } as const
  assert.equal(hollowBatch(range, 1, codecs), hollowBatch(range, 1, codecs))
})

test('a hollow batch is told from one of data', () => {
  assert.ok(isHollow(hollowBatch({ from: 3, to: 9, reason: 'rot' }, 1, codecs), codecs))
  for (const codec of [0, 1, 3] as const) {
    const batch = buildBatch([{ timestamp: 1, key: null, value: null }], { codecs, codec })
    assert.not.ok(isHollow(batch, codecs))
  }
})

test.run()
