import * as assert from 'uvu/assert'
import { type Damage, readTolerantly, type SalvageRange, salvage } from '../../agent/log/salvage.ts'
import type { ScannedBatch } from '../../agent/log/segment-scan.ts'
import { buildBatch } from '../../agent/record/record-batch.ts'
import { codecs, type MadeBatch, makeBatches } from '../support/batches.ts'
import { bytesOf, endOf } from '../support/filled-segment.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('salvage')

/** Bytes of which some sectors cannot be read. */
function fileOf(bytes: Buffer, badSectors: ReadonlySet<number> = new Set()) {
  return {
    read: async (target: Uint8Array, position: number) => {
      const end = Math.min(position + target.length, bytes.length)
      for (let sector = Math.floor(position / 512); sector * 512 < end; sector++) {
        if (badSectors.has(sector)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      bytes.copy(target, 0, position, end)
      return Math.max(0, end - position)
    },
  }
}

async function salvaged(bytes: Buffer, range: Partial<SalvageRange>, bad?: ReadonlySet<number>) {
  const good: ScannedBatch[] = []
  const damages: Damage[] = []
  const whole = { size: bytes.length, offset: 0, endOffset: 0, ...range }
  const position = await salvage(fileOf(bytes, bad), whole, codecs, {
    good: (batch) => good.push(batch),
    damaged: (damage) => damages.push(damage),
  })
  return { good, damages, position, range: whole }
}

type Salvaged = Awaited<ReturnType<typeof salvaged>>

/** Pieces follow each other without a gap, in the file and in offsets. */
function checkDense({ good, damages, position, range }: Salvaged): void {
  const pieces = [
    ...good.map((batch) => ({
      at: batch.position,
      end: batch.position + batch.size,
      from: batch.baseOffset,
      to: batch.nextOffset,
    })),
    ...damages.map(({ position, end, from, to }) => ({ at: position, end, from, to })),
  ].sort((a, b) => a.at - b.at || a.from - b.from)
  let [at, offset] = [0, range.offset]
  for (const piece of pieces) {
    assert.is(piece.at, at)
    assert.is(piece.from, offset)
    assert.ok(piece.end > piece.at || piece.to > piece.from, 'a piece is something')
    ;[at, offset] = [piece.end, piece.to]
  }
  assert.is(at, position)
  assert.is(offset, range.endOffset)
}

test('a whole segment is good from front to end', async () => {
  const batches = makeBatches(300, 1)
  const found = await salvaged(bytesOf(batches), { endOffset: endOf(batches) })
  assert.equal(found.damages, [])
  assert.is(found.good.length, 300)
  checkDense(found)
})

test('an offset that rotted into another of the segment costs its own batch only', async () => {
  const batches = makeBatches(40, 2)
  for (const [order, bad] of batches.entries()) {
    for (const flip of [1, 2, 4, 8, 16, 32, 64]) {
      const bytes = bytesOf(batches)
      bytes[bad.position + 7]! ^= flip
      const found = await salvaged(bytes, { endOffset: endOf(batches) })
      checkDense(found)
      assert.is(found.good.length, 39, `batch ${order}, ${flip}`)
      assert.is(found.damages.length, 1)
    }
  }
})

test('the batches around a damaged one survive, whatever of it is damaged', async () => {
  const batches = makeBatches(9, 2)
  const bad = batches[4]!
  for (let at = 0; at < bad.bytes.length; at++) {
    // Base offset and leader epoch lie outside the CRC; an epoch does no harm.
    if (at >= 12 && at < 16) continue
    const bytes = bytesOf(batches)
    bytes[bad.position + at]! ^= 0x40
    const found = await salvaged(bytes, { endOffset: endOf(batches) })
    checkDense(found)
    assert.is(found.good.length, 8, `byte ${at}`)
    const [damage] = found.damages
    assert.equal(
      [damage?.position, damage?.end, damage?.from, damage?.to],
      [bad.position, bad.position + bad.bytes.length, bad.baseOffset, bad.nextOffset],
    )
  }
})

test('damage up to the end of the file ends at the end that is known', async () => {
  const batches = makeBatches(20, 3)
  const cut = batches[15]!
  for (const length of [cut.position, cut.position + 3, cut.position + 70]) {
    const found = await salvaged(bytesOf(batches).subarray(0, length), { endOffset: 1000 })
    checkDense(found)
    assert.is(found.good.length, 15)
    const [damage] = found.damages
    assert.equal([damage?.end, damage?.from, damage?.to], [length, cut.baseOffset, 1000])
  }
  const nothing = await salvaged(Buffer.alloc(0), { endOffset: 5 })
  assert.equal(nothing.damages, [{ position: 0, end: 0, from: 0, to: 5, reason: 'the file ends' }])
})

test('a batch that is missing between two others is missed', async () => {
  const batches = makeBatches(10, 4)
  const bytes = bytesOf(batches.filter((_, order) => order !== 6))
  const found = await salvaged(bytes, { endOffset: endOf(batches) })
  checkDense(found)
  assert.is(found.good.length, 9)
  const { position, baseOffset: from, nextOffset: to } = batches[6]!
  const [damage] = found.damages
  assert.equal(
    [damage?.position, damage?.end, damage?.from, damage?.to],
    [position, position, from, to],
  )
})

test('bytes that are too many cost no offset', async () => {
  const batches = makeBatches(10, 5)
  const at = batches[6]!.position
  const whole = bytesOf(batches)
  for (const extra of [Buffer.alloc(100), batches[2]!.bytes, Buffer.from([2, 2, 2])]) {
    const bytes = Buffer.concat([whole.subarray(0, at), extra, whole.subarray(at)])
    const found = await salvaged(bytes, { endOffset: endOf(batches) })
    checkDense(found)
    assert.is(found.good.length, 10)
    assert.ok(found.damages.every(({ from, to }) => from === to))
  }
})

test('what is behind the end offset is not looked at', async () => {
  const batches = makeBatches(10, 6)
  const { baseOffset, position } = batches[7]!
  const found = await salvaged(bytesOf(batches), { endOffset: baseOffset })
  assert.is(found.good.length, 7)
  assert.is(found.position, position)
  const bytes = bytesOf(batches)
  bytes[batches[6]!.position + 40]! ^= 1
  const damaged = await salvaged(bytes, { endOffset: baseOffset })
  checkDense(damaged)
  assert.is(damaged.position, position)
})

test('sectors that cannot be read cost the batches that lie in them, and no others', async () => {
  const batches = makeBatches(400, 7)
  const bytes = bytesOf(batches)
  const bad = new Set([3, 4, 40, 41, 95, Math.floor((bytes.length - 1) / 512)])
  const found = await salvaged(bytes, { endOffset: endOf(batches) }, bad)
  checkDense(found)
  const isHit = ({ position, bytes }: MadeBatch) =>
    [...bad].some(
      (sector) => sector * 512 < position + bytes.length && position < (sector + 1) * 512,
    )
  const expected = batches.filter((batch) => !isHit(batch)).map(({ baseOffset }) => baseOffset)
  assert.equal(
    found.good.map(({ baseOffset }) => baseOffset),
    expected,
  )
})

test('a batch inside a payload is not taken for one of the segment', async () => {
  const inner = buildBatch([{ timestamp: 1, key: null, value: Buffer.from('forged') }], {
    codecs,
    baseOffset: 7,
  })
  const outer = [0, 1, 2].map((order) =>
    buildBatch(
      Array.from({ length: 10 }, () => ({ timestamp: 1, key: null, value: inner })),
      { codecs, baseOffset: order * 10 },
    ),
  )
  const bytes = Buffer.concat(outer)
  bytes[80]! ^= 1
  const found = await salvaged(bytes, { endOffset: 30 })
  checkDense(found)
  assert.equal(
    found.good.map(({ baseOffset }) => baseOffset),
    [10, 20],
  )
})

/** One of the ways in which a file is damaged; returns the new bytes and unreadable sectors. */
function damagedFile(bytes: Buffer, random: SeededRandom): { bytes: Buffer; bad: Set<number> } {
  let damaged = Buffer.from(bytes)
  const bad = new Set<number>()
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(damaged.length)
    const length = Math.min(damaged.length - at, 1 + random.below(random.chance(0.5) ? 8 : 3000))
    const kind = random.below(7)
    if (kind === 0) damaged[at]! ^= 1 << random.below(8)
    else if (kind === 1) damaged.fill(0, at, at + length)
    else if (kind === 2) random.bytes(length).copy(damaged, at)
    else if (kind === 3)
      damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(at + length)])
    else if (kind === 4) {
      const extra = random.bytes(length)
      damaged = Buffer.concat([damaged.subarray(0, at), extra, damaged.subarray(at)])
    } else if (kind === 5) bad.add(Math.floor(at / 512))
    else if (random.chance(0.3)) damaged = damaged.subarray(0, at)
    if (damaged.length === 0) break
  }
  return { bytes: damaged, bad }
}

test('however a file is damaged: what is whole survives, in its place, and nothing is invented', async () => {
  for (let seed = 0; seed < 600; seed++) {
    const random = new SeededRandom(seed)
    const batches = makeBatches(5 + random.below(60), seed)
    const { bytes, bad } = damagedFile(bytesOf(batches), random)
    const found = await salvaged(bytes, { endOffset: endOf(batches) }, bad)
    checkDense(found)
    const byOffset = new Map(batches.map((batch) => [batch.baseOffset, batch]))
    const survived = new Set<number>()
    for (const { position, size, baseOffset } of found.good) {
      const made = byOffset.get(baseOffset)
      assert.ok(made, `seed ${seed}: offset ${baseOffset} was invented`)
      const same = Buffer.from(bytes.subarray(position, position + size))
      // The leader epoch lies outside the CRC.
      made.bytes.copy(same, 12, 12, 16)
      assert.equal(same, made.bytes, `seed ${seed}`)
      survived.add(baseOffset)
    }
    // Whole batches that lie in the file in their order can all be had.
    let from = 0
    for (const made of batches) {
      const at = bytes.indexOf(made.bytes, from)
      if (at < 0) continue
      from = at + made.bytes.length
      const isReadable = ![...bad].some((sector) => sector * 512 < from && at < (sector + 1) * 512)
      if (isReadable)
        assert.ok(survived.has(made.baseOffset), `seed ${seed}: ${made.baseOffset} is gone`)
    }
  }
})

test('bytes that are copied are zeros where they cannot be read', async () => {
  const bytes = new SeededRandom(1).bytes(700_000)
  const copy = await readTolerantly(fileOf(bytes, new Set([2, 1000])), 700, 650_001)
  const expected = Buffer.from(bytes.subarray(700, 650_001))
  expected.fill(0, 1024 - 700, 1536 - 700)
  expected.fill(0, 512_000 - 700, 512_512 - 700)
  assert.ok(copy.equals(expected))
})

test.run()
