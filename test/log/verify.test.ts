import * as assert from 'uvu/assert'
import type { FileSystem } from '../../agent/log/file-system.ts'
import type { Finding } from '../../agent/log/findings.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { checkSegment } from '../../agent/log/verify-segment.ts'
import { BATCH, buildBatch } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('verify')
const SEGMENTS = `${STORE}/plant.sensors-0`
const verify = (fs: FileSystem) => verifyStore(fs, STORE, { kernel })
const textOf = ({ path, what, fatal }: Finding) =>
  `${fatal ? 'fatal ' : ''}${path.slice(STORE.length + 1)}: ${what}`
const findingsOf = async (fs: FileSystem) => (await verify(fs)).findings.map(textOf)

/** A store that was closed properly, with several segments in one of two partitions. */
async function closedStore(seed = 1): Promise<SimFileSystem> {
  const fs = new SimFileSystem(seed)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 2, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 600)
  await appendRecords(log, topic.partitions[1]!, 5)
  await log.close()
  return fs
}

const segmentsOf = (fs: SimFileSystem, suffix = '.log') =>
  fs.paths().filter((path) => path.startsWith(SEGMENTS) && path.endsWith(suffix))

test('finds nothing wrong with a store that was closed, and counts what is in it', async () => {
  const fs = await closedStore()
  const progress: string[] = []
  const { findings, totals } = await verifyStore(fs, STORE, {
    kernel,
    onProgress: (path) => progress.push(path),
  })
  assert.equal(findings.map(textOf), [])
  assert.is(totals.partitions, 2)
  assert.is(totals.records, 605)
  assert.ok(totals.segments > 4 && totals.batches > 20, JSON.stringify(totals))
  for (const path of segmentsOf(fs)) assert.ok(progress.includes(path), path)
})

test('writes nothing', async () => {
  const fs = await closedStore()
  const operations = new Set<string>()
  fs.faults.onStep = ({ operation }) => operations.add(operation)
  await verify(fs)
  assert.equal([...operations].sort(), ['close', 'list', 'open', 'read', 'size'])
  assert.is(fs.counts.openFiles, 0)
})

test('finds nothing fatal in what a power cut leaves, whenever it comes', async () => {
  let torn = 0
  for (let seed = 0; seed < 24; seed++) {
    const fs = new SimFileSystem(seed)
    const log = await openSmallLog(fs)
    const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
    let steps = 20 + seed * 40
    let later: SimFileSystem | undefined
    const crashed = new Promise<void>((resolve) => {
      fs.faults.onStep = () => {
        if (--steps !== 0) return
        later = fs.crash()
        resolve()
      }
    })
    // The dead process waits for its disk as long as it likes.
    const appended = appendRecords(log, topic.partitions[0]!, 1500).catch((error) => {
      if (later === undefined) throw error
    })
    await Promise.race([appended, crashed])
    // What the dead process had begun ends on its dead disk.
    for (let turns = 0; turns < 500; turns++) await undefined
    fs.faults.onStep = () => {}
    later ??= fs.crash()
    const { findings } = await verify(later)
    assert.equal(findings.filter(({ fatal }) => fatal).map(textOf), [], `seed ${seed}`)
    if (findings.length > 0) torn++
    const again = await openSmallLog(later)
    await again.close()
    assert.equal(await findingsOf(later), [], `seed ${seed} after recovery`)
  }
  assert.ok(torn > 0, 'some power cut leaves something to put right')
})

test('any bit that flips in a segment is found', async () => {
  const fs = await closedStore()
  const [path] = segmentsOf(fs)
  const size = fs.contents(path!).length
  for (let position = 3; position < size; position += 97) {
    fs.rot(path!, position, 0x10)
    const { findings } = await verify(fs)
    fs.rot(path!, position, 0x10)
    assert.is(findings.length, 1, `${position}`)
    assert.is(findings[0]!.path, path)
    // Outside the checksum, as in Kafka, and of no use to anyone.
    const isEpoch = isLeaderEpoch(fs.contents(path!), position)
    assert.is(findings[0]!.fatal, !isEpoch, `${position}`)
  }
  assert.equal(await findingsOf(fs), [])
})

function isLeaderEpoch(log: Buffer, position: number): boolean {
  let start = 0
  while (start + 12 + log.readInt32BE(start + 8) <= position)
    start += 12 + log.readInt32BE(start + 8)
  return position - start >= 12 && position - start < 16
}

test('says which offsets are lost, and that those behind them are not', async () => {
  const fs = await closedStore()
  const [path] = segmentsOf(fs)
  const bytes = fs.contents(path!)
  const second = 12 + bytes.readInt32BE(8)
  const [from, to] = [
    offsetAt(bytes, second),
    offsetAt(bytes, second) + bytes.readInt32BE(second + 23),
  ]
  // Its length too: where the next batch begins must be searched.
  for (const at of [second + 9, second + 100]) fs.rot(path!, at)
  const { findings, totals, ok } = await verify(fs)
  assert.equal([findings.length, ok], [1, false])
  const { kind, position, what, fatal, repairable } = findings[0]!
  assert.equal([kind, position, fatal, repairable], ['segment', second, true, true])
  assert.match(what, `(offsets ${from} to ${to})`)
  assert.is(totals.records, 605 - (to - from + 1))
})

const offsetAt = (log: Buffer, position: number) => Number(log.readBigInt64BE(position))

test('goes on behind a damaged batch', async () => {
  const fs = await closedStore()
  const [path] = segmentsOf(fs)
  fs.rot(path!, 100)
  const { findings, totals } = await verify(fs)
  assert.is(findings.length, 1)
  assert.match(findings[0]!.what, 'CRC')
  assert.ok(totals.records > 500)
})

test('finds a segment that is missing or short', async () => {
  const missing = await closedStore()
  const [first, second] = segmentsOf(missing)
  await missing.remove(second!)
  assert.match(
    (await findingsOf(missing)).join('\n'),
    /^fatal plant.*begins at offset \d+ instead of \d+/m,
  )

  const noFirst = await closedStore()
  await noFirst.remove(first!)
  assert.match(
    (await findingsOf(noFirst)).join('\n'),
    /^fatal .*begins at offset \d+ instead of 0/m,
  )

  const noLast = await closedStore()
  const stem = segmentsOf(noLast).at(-1)!.slice(0, -'.log'.length)
  for (const suffix of ['.log', '.index', '.timeindex']) await noLast.remove(stem + suffix)
  assert.equal(await findingsOf(noLast), [
    `fatal plant.sensors-0: segments end at offset ${Number(stem.slice(-20))}, synced to 600`,
  ])

  const short = await closedStore()
  const last = segmentsOf(short).at(-1)!
  await (await short.open(last, 'write')).truncate(10)
  assert.match((await findingsOf(short)).join('\n'), /^fatal /m)
})

test('finds indexes that disagree with their segment, and takes none of them seriously', async () => {
  for (const suffix of ['.index', '.timeindex']) {
    for (const damage of ['rot', 'cut', 'remove'] as const) {
      const fs = await closedStore()
      const path = segmentsOf(fs, suffix).find((name) => fs.contents(name).length > 0)!
      if (damage === 'rot') fs.rot(path, 7, 0x03)
      if (damage === 'cut') await (await fs.open(path, 'write')).truncate(5)
      if (damage === 'remove') await fs.remove(path)
      const { findings } = await verify(fs)
      assert.ok(findings.length > 0, `${damage} of ${path}`)
      for (const finding of findings) {
        assert.not.ok(finding.fatal)
        assert.is(finding.path, path)
      }
    }
  }
})

test('an index has exactly the entries that the rule makes', async () => {
  for (const [suffix, entryBytes] of [
    ['.index', 8],
    ['.timeindex', 12],
  ] as const) {
    const fs = await closedStore()
    const path = segmentsOf(fs, suffix).find((name) => fs.contents(name).length >= entryBytes)!
    const file = await fs.open(path, 'write')
    const size = await file.size()
    await file.truncate(size - entryBytes)
    assert.match((await findingsOf(fs)).join('\n'), /index: no entry for \d+$/)
    await file.write([Buffer.alloc(2 * entryBytes, 0x70)], size - entryBytes)
    assert.match((await findingsOf(fs)).join('\n'), /index: says \d+, \d+ instead of \d+, \d+$/)
    await file.close()
  }
})

test('hollow records are a known loss and no damage', async () => {
  const fs = await closedStore()
  const log = await openSmallLog(fs)
  const [partition] = log.topic('plant.sensors')!.partitions
  const read = await partition!.read(0, 1)
  assert.is(read.kind, 'batches')
  const to = read.kind === 'batches' ? read.nextOffset : 0
  await partition!.hollow(0, to, 'dropped')
  await log.close()
  const { ok, findings, losses, totals } = await verify(fs)
  assert.equal([ok, findings], [true, []])
  assert.equal(losses, [
    { topic: 'plant.sensors', partition: 0, from: 0, to: to - 1, reason: 'dropped' },
  ])
  assert.equal([totals.hollowRecords, totals.records], [to, 605])
})

test('what is on its way to become hollow is no new loss', async () => {
  const fs = await closedStore()
  const path = segmentsOf(fs)[1]!
  const next = Number(segmentsOf(fs)[2]!.slice(-24, -4))
  const log = await openSmallLog(fs)
  const lost = [{ from: Number(path.slice(-24, -4)), to: next, reason: 'file' }]
  log.state.put('hollow/1', Buffer.from(JSON.stringify(lost)))
  await log.durable(log.openCommit)
  const later = fs.kill()
  await later.remove(path)
  await (await later.open(`${path}.rewrite`, 'create')).close()
  const { ok, findings } = await verify(later)
  assert.is(ok, true)
  assert.match(
    findings.map(textOf).join('\n'),
    /instead of \d+: a known loss, hollow at the next start/,
  )
  assert.match(findings.map(textOf).join('\n'), /\.log\.rewrite: a write that was not finished/)
})

test('the quarantine and the reserve are counted, not found', async () => {
  const fs = await closedStore()
  await fs.makeDirectory(`${STORE}/quarantine`)
  await (await fs.open(`${STORE}/quarantine/a.bytes`, 'create')).write([Buffer.alloc(7)], 0)
  await (await fs.open(`${STORE}/reserve`, 'create')).write([Buffer.alloc(9)], 0)
  const { findings, totals } = await verify(fs)
  assert.equal(findings, [])
  assert.equal([totals.quarantineFiles, totals.quarantineBytes], [1, 7])
})

test('finds a checkpoint that does not hold, fatal only without the other copy', async () => {
  const fs = await closedStore()
  const copies = fs.paths().filter((path) => path.includes('checkpoint-'))
  assert.is(copies.length, 2)
  fs.rot(copies[0]!, 50)
  const one = await findingsOf(fs)
  assert.match(one.join('\n'), /checkpoint-\d: checkpoint does not hold/)
  fs.rot(copies[1]!, 50)
  const both = await findingsOf(fs)
  assert.ok(
    both.some((text) => /^fatal checkpoint-\d/.test(text)),
    both.join('\n'),
  )
})

test('a store of which only the partitions are left has lost something', async () => {
  for (const loss of ['empty', 'blank', 'gone'] as const) {
    for (const hasMetadata of [true, false]) {
      const fs = new SimFileSystem(1)
      const log = await openSmallLog(fs)
      const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
      await appendRecords(log, topic.partitions[0]!, 100)
      await topic.partitions[0]!.seal()
      await appendRecords(log, topic.partitions[0]!, 50)
      const left = fs.kill()
      for (const path of left.paths()) {
        const size = left.contents(path).length
        if (!hasMetadata && path.endsWith('/partition.metadata')) left.lose(path)
        if (!/\/(journal|checkpoint)-\d+$/.test(path)) continue
        if (loss === 'gone') left.lose(path)
        else left.shorten(path, 0)
        if (loss === 'blank') await (await left.open(path, 'write')).truncate(size)
      }
      const { ok, findings } = await verify(left)
      assert.not.ok(ok, loss)
      const texts = findings.filter(({ fatal, repairable }) => fatal || repairable).map(textOf)
      const partition = 'plant.sensors-0: a partition that the state has lost; a start takes it in'
      assert.ok(texts.includes(partition), texts.join('\n'))
      assert.match(texts.join('\n'), /^fatal .*checkpoint/)
      const again = await openSmallLog(left, { lock: { pid: 1, startOf: async () => 'again' } })
      await again.close()
      assert.ok((await verify(left)).ok, loss)
    }
  }
})

test('a partition that a state without damage does not know is told, and no start promised', async () => {
  const fs = await closedStore()
  const [path] = segmentsOf(fs)
  await fs.makeDirectory(`${STORE}/other-3`)
  const copy = await fs.open(`${STORE}/other-3/${path!.slice(-24)}`, 'create')
  await copy.write([fs.contents(path!)], 0)
  await copy.close()
  const { ok, findings } = await verify(fs)
  assert.equal([ok, findings.length, findings[0]!.repairable], [true, 1, false])
  assert.match(textOf(findings[0]!), /^other-3: a partition that the state does not know/)
})

test('a partition that cannot be listed, or a segment that cannot be opened, is lost data', async () => {
  for (const operation of ['list', 'open'] as const) {
    const fs = await closedStore()
    const [path] = segmentsOf(fs)
    const refused = operation === 'list' ? SEGMENTS : path!
    for (let times = 0; times < 3; times++) fs.failNext(operation, { path: refused })
    const { ok, findings, totals } = await verify(fs)
    assert.not.ok(ok)
    const texts = findings.map(textOf).join('\n')
    assert.match(texts, operation === 'list' ? 'cannot be listed; a start' : 'cannot be opened; a')
    assert.match(texts, /^fatal plant.sensors-0/m)
    assert.is(totals.partitions, 2)
    assert.equal((await verify(fs)).findings.map(textOf), [])
  }
})

test('finds rot in a journal whose frames are still needed', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 50)
  const later = fs.crash()
  assert.equal(await findingsOf(later), [])
  const journal = later.paths().find((path) => path.includes('journal-') && isUsed(later, path))!
  const frames = framePositions(later.contents(journal))
  later.rot(journal, frames[Math.floor(frames.length / 2)]! + 60)
  const found = (await findingsOf(later)).join('\n')
  assert.match(found, /^fatal journal-\d: rot: frames \d+ to \d+ do not hold/m)
  assert.match(found, /^fatal plant\.sensors-0: offsets \d+ to \d+ are nowhere/m)
})

test('every byte of the live part of a journal counts, none behind it', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 30)
  const later = fs.crash()
  const journal = later.paths().find((path) => path.includes('journal-') && isUsed(later, path))!
  const bytes = later.contents(journal)
  const last = framePositions(bytes).at(-1)!
  const end = last + Math.ceil((48 + bytes.readUInt32BE(last + 24)) / 512) * 512
  const namesJournal = async (position: number) => {
    later.rot(journal, position, 0x20)
    const found = await findingsOf(later)
    later.rot(journal, position, 0x20)
    return found.some((text) => text.includes('journal-'))
  }
  for (let position = 0; position < end; position += position < 600 ? 13 : 37) {
    assert.ok(await namesJournal(position), `byte ${position} of ${end}`)
  }
  // The three words that say whose a frame is, in the last one.
  for (const position of [last, last + 9, last + 13]) assert.ok(await namesJournal(position))
  for (const position of [end, end + 700, bytes.length - 1]) {
    assert.not.ok(await namesJournal(position), `byte ${position} behind ${end}`)
  }
})

const isUsed = (fs: SimFileSystem, path: string) => framePositions(fs.contents(path)).length > 3

function framePositions(journal: Buffer): number[] {
  const positions: number[] = []
  for (let at = 512; at + 4 <= journal.length; at += 512) {
    if (journal.toString('latin1', at, at + 4) === 'TRJF') positions.push(at)
  }
  return positions
}

test('finds cursors that lie behind the end', async () => {
  for (const [key, value, what] of [
    [
      'repl/1',
      '{"acked":601}',
      'replicated to 601, but ends at 600; an old copy of the store? Its replication stops, and `tributary status` says why',
    ],
    ['start/1', '601', 'log start 601 lies behind the end 600; a start goes on at 601'],
  ] as const) {
    const fs = await closedStore()
    const log = await openSmallLog(fs)
    log.state.put(key, Buffer.from(value))
    await log.close()
    const findings = await findingsOf(fs)
    assert.ok(findings.includes(`fatal plant.sensors-0: ${what}`), findings.join('\n'))
  }
})

test('finds records that are wrong under a right CRC', async () => {
  const resealed = (change: (batch: Buffer) => void) => {
    const records = [1, 2, 3].map((timestamp) => ({
      timestamp,
      key: null,
      value: Buffer.from('v'),
    }))
    const batch = buildBatch(records, { codecs })
    change(batch)
    batch.writeUInt32BE(codecs.crc32c(batch.subarray(BATCH.attributes)), BATCH.crc)
    return batch
  }
  const damagesOf = async (batch: Buffer) => {
    const fs = new SimFileSystem(1)
    await (await fs.open('/0.log', 'create')).write([batch], 0)
    const { damages } = await checkSegment({
      fs,
      codecs,
      stem: '/0',
      baseOffset: 0,
      syncedOffset: 0,
      isFinished: false,
    })
    return damages.map(({ what, from, to }) => [what, from, to])
  }
  assert.equal(await damagesOf(resealed(() => {})), [])
  const miscounted = resealed((batch) => batch.writeInt32BE(2, BATCH.count))
  assert.equal(await damagesOf(miscounted), [['2 records for 3 offsets', 0, 3]])
  const garbled = resealed((batch) => batch.writeUInt8(0xff, BATCH.records))
  assert.match(String((await damagesOf(garbled))[0]), 'records break their format')
  const unreadable = resealed((batch) => batch.writeInt16BE(5, BATCH.attributes))
  assert.equal(await damagesOf(unreadable), [['codec 5 records: unsupported', 0, 3]])
})

test('what no repair knows how to mend says what becomes of it', async () => {
  const fs = await closedStore()
  const [path] = segmentsOf(fs)
  const bytes = fs.contents(path!)
  const batch = bytes.subarray(0, 12 + bytes.readInt32BE(8))
  batch.writeInt32BE(batch.readInt32BE(BATCH.count) + 1, BATCH.count)
  batch.writeUInt32BE(codecs.crc32c(batch.subarray(BATCH.attributes)), BATCH.crc)
  const file = await fs.open(path!, 'write')
  await file.write([batch], 0)
  await file.close()
  const [finding, ...more] = (await verify(fs)).findings
  assert.equal([more.length, finding!.fatal, finding!.repairable], [0, true, false])
  assert.match(
    finding!.what,
    /records for .* \(offsets 0 to \d+\); served as it is, because its CRC/,
  )
})

test('finds what lies about', async () => {
  const fs = await closedStore()
  for (const path of [
    `${STORE}/notes.txt`,
    `${SEGMENTS}/old.bak`,
    `${SEGMENTS}/${'0'.repeat(19)}7.index`,
  ]) {
    await (await fs.open(path, 'create')).close()
  }
  await fs.makeDirectory(`${STORE}/gone-0`)
  assert.equal((await findingsOf(fs)).sort(), [
    'gone-0: belongs to nothing in this store',
    'notes.txt: belongs to nothing in this store',
    'plant.sensors-0/00000000000000000007.index: belongs to no segment',
    'plant.sensors-0/old.bak: belongs to no segment',
  ])
})

test.run()
