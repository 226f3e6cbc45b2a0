import * as assert from 'uvu/assert'
import { Logger } from '../../agent/base/telemetry.ts'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD } from '../../agent/record/compression.ts'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { producerBatch } from '../kafka/server/test-broker.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { kernel } from '../support/batches.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem, type SimStep } from '../support/sim-file-system.ts'
import { openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('log')
const TOPIC = { partitions: 1, replicated: false }
const LARGE_JOURNAL = { journalBytes: 8 * 1024 * 1024 }
let boots = 0

/** The next process on the same store, whatever the last one was doing. */
function open(fs: SimFileSystem, options: Partial<LogOptions> = {}): Promise<Log> {
  const boot = String(boots++)
  return openSmallLog(fs, {
    commitIntervalMs: 0,
    lock: { pid: 1, startOf: async () => boot },
    ...options,
  })
}

/** Lets what was begun go on, and time pass for what waits for a retry. */
async function settle(clock?: SimClock): Promise<void> {
  for (let turns = 0; turns < 50; turns++) {
    for (let i = 0; i < 100; i++) await undefined
    clock?.advance(1001)
  }
}

function append(partition: PartitionLog, bytes = 90, timestamp = 1): number {
  return partition.appendRecord({ timestamp, key: null, value: Buffer.alloc(bytes, 120) })
}

/** More state than one frame holds, in the open commit. */
function putLarge(log: Log, count = 40): void {
  const random = new SeededRandom(1)
  for (let entry = 0; entry < count; entry++) log.state.put(`large/${entry}`, random.bytes(65_000))
}

const largeEntries = (log: Log) => [...log.state.entries('large/')].length
const onJournalWrite = (fs: SimFileSystem, passes: number, act: () => void) => {
  let left = passes
  fs.faults.onStep = ({ operation, path, isHalfDone }: SimStep) => {
    if (operation === 'write' && path.includes('journal-') && !isHalfDone && left-- === 0) act()
  }
}

test('a record appended while a commit of several frames is written shares the next one with its state', async () => {
  const fs = new SimFileSystem(1)
  const log = await open(fs, LARGE_JOURNAL)
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  append(partition!)
  putLarge(log)
  const commit = log.openCommit
  onJournalWrite(fs, 0, () => {
    append(partition!)
    log.state.put('second', Buffer.from('yes'))
  })
  let after = fs
  log.onCommit((durable) => {
    if (durable === commit) after = fs.crash()
  })
  await log.durable(commit)
  await settle()
  delete after.faults.onStep
  const again = await open(after, LARGE_JOURNAL)
  assert.is(largeEntries(again), 40)
  assert.is(again.topic('t')!.partitions[0]!.logEndOffset, 1)
  assert.is(again.state.get('second'), undefined)
})

test('a commit whose second frame goes to a fresh file is whole after a power cut', async () => {
  const fs = new SimFileSystem(2)
  const log = await open(fs, LARGE_JOURNAL)
  putLarge(log)
  fs.failNext('write', { path: 'journal-', passes: 1 })
  await log.durable(log.openCommit)
  const again = await open(fs.crash(), LARGE_JOURNAL)
  assert.is(largeEntries(again), 40)
})

test('a commit that a power cut left unfinished is neither applied nor taken for rot', async () => {
  const fs = new SimFileSystem(3)
  const log = await open(fs, LARGE_JOURNAL)
  putLarge(log, 100)
  const after = await new Promise<SimFileSystem>((resolve) => {
    onJournalWrite(fs, 4, () => resolve(fs.crash()))
  })
  delete after.faults.onStep
  const second = await open(after, LARGE_JOURNAL)
  assert.is(largeEntries(second), 0)
  second.state.put('small', Buffer.from('1'))
  await second.durable(second.openCommit)
  const killed = after.kill()
  assert.equal(
    (await verifyStore(killed, STORE, { kernel })).findings.filter((f) => f.fatal),
    [],
  )
  assert.is((await open(killed, LARGE_JOURNAL)).state.get('small')?.toString(), '1')
})

test('a commit larger than what is left of a journal file goes to the next one', async () => {
  const fs = new SimFileSystem(4)
  const log = await open(fs, { journalBytes: 4 * 1024 * 1024 })
  for (let round = 0; round < 4; round++) {
    putLarge(log)
    await log.durable(log.openCommit)
  }
  const again = await open(fs.crash(), { journalBytes: 4 * 1024 * 1024 })
  assert.is(largeEntries(again), 40)
})

test('rot in a journal while two generations are needed does not keep the log from opening', async () => {
  const fs = new SimFileSystem(5)
  const log = await open(fs)
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  await settle()
  for (let tries = 0; tries < 100; tries++) fs.failNext('write', { path: 'checkpoint' })
  const random = new SeededRandom(5)
  while (partition!.logEndOffset < 200) {
    partition!.appendRecord({ timestamp: 1, key: null, value: random.bytes(300) })
    await log.durable(log.openCommit)
  }
  const killed = fs.kill()
  killed.failNoMore()
  killed.rot(`${STORE}/journal-1`, 4096 + 100)
  const again = await open(killed)
  assert.is(again.topic('t')!.partitions[0]!.logEndOffset, 200)
})

test('a store is opened once, also by one process', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const outcome = await openSmallLog(fs).catch((error) => error.message)
  assert.is(outcome, `store in use by pid ${process.pid}`)
  await log.close()
  await (await openSmallLog(fs)).close()
})

test('a disk that is full when the journal needs its second file makes commits wait, not fail', async () => {
  const fs = new SimFileSystem(6)
  const clock = new SimClock(0)
  const log = await open(fs, { clock })
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  fs.faults.capacityBytes = fs.usedBytes + 20_000
  const random = new SeededRandom(6)
  for (let order = 0; order < 120; order++) {
    partition!.appendRecord({ timestamp: 1, key: null, value: random.bytes(1000) })
    for (let turns = 0; turns < 100; turns++) await undefined
  }
  assert.is(log.health().ok, false)
  delete fs.faults.capacityBytes
  const waiting = log.durable(log.openCommit)
  log.requestCommit()
  await settle(clock)
  await waiting
  assert.is(log.health().ok, true)
})

test('close ends on a full disk, and nothing acked is lost', async () => {
  const fs = new SimFileSystem(7)
  const clock = new SimClock(0)
  const log = await open(fs, { clock })
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  append(partition!)
  await log.durable(log.openCommit)
  fs.faults.capacityBytes = fs.usedBytes
  let outcome = ''
  log.close().then(
    () => (outcome = 'closed'),
    () => (outcome = 'failed'),
  )
  assert.is(append(partition!), -1)
  await settle(clock)
  // What no segment took is in the journal: that is what it is for.
  assert.is(outcome, 'closed')
  delete fs.faults.capacityBytes
  assert.is((await open(fs)).topic('t')!.partitions[0]!.highWatermark, 1)
})

test('after a deletion a start neither misses the old topic nor loses the new one of its name', async () => {
  const fs = new SimFileSystem(8)
  const first = await open(fs)
  const [old] = (await first.createTopic('t', TOPIC)).partitions
  for (let order = 0; order < 50; order++) append(old!)
  await first.close()
  const log = await open(fs)
  const [reopened] = log.topic('t')!.partitions
  append(reopened!)
  await log.durable(log.openCommit)
  await log.deleteTopic('t')
  assert.is(append(reopened!), -1)
  const [fresh] = (await log.createTopic('t', TOPIC)).partitions
  append(fresh!)
  await log.durable(log.openCommit)
  await fresh!.seal()
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const logger = new Logger({ level: 'warn', format: 'text', now: () => 0, write })
  const again = await open(fs.kill(), { logger })
  assert.is(again.topic('t')!.partitions[0]!.highWatermark, 1)
  assert.equal(lines, [])
})

test('a checkpoint passes over a partition whose deletion ends meanwhile', async () => {
  for (let turns = 0; turns < 60; turns++) {
    const log = await open(new SimFileSystem(turns))
    const partition = (await log.createTopic('t', TOPIC)).partitions[0]!
    for (let record = 0; record < 30; record++) append(partition)
    await log.durable(log.openCommit)
    await partition.seal()
    const deletion = log.deleteTopic('t')
    await log.durable(log.openCommit)
    for (let turn = 0; turn < turns; turn++) await undefined
    await partition.segments.sync()
    await deletion
    await log.close()
  }
})

test('a record larger than a commit usually may be is taken', async () => {
  const log = await open(new SimFileSystem(9))
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  assert.is(append(partition!, 20_000), 0)
  assert.is(append(partition!, 300_000), -1)
  await log.durable(log.openCommit)
  assert.is(append(partition!, 300_000), 1)
  await log.durable(log.openCommit)
  assert.is(partition!.highWatermark, 2)
})

test('splits of one tail may overlap, and each part knows its own greatest timestamp', async () => {
  const log = await open(new SimFileSystem(10))
  const [partition] = (await log.createTopic('t', TOPIC)).partitions
  for (let order = 0; order < 9; order++) append(partition!, 20, 100 + order)
  await Promise.all([partition!.splitAt(3), partition!.splitAt(6)])
  await partition!.seal()
  const newest = []
  for (const offset of [0, 3, 6]) {
    const read = await partition!.readSealed(offset, 1)
    newest.push(read.kind === 'batches' && [read.nextOffset, read.bytes.readBigInt64BE(35)])
  }
  assert.equal(newest, [
    [3, 102n],
    [6, 105n],
    [9, 108n],
  ])
})

test('a partition whose segment cannot be written does not hold up another one', async () => {
  const fs = new SimFileSystem(11)
  const log = await open(fs)
  const [bad, good] = (await log.createTopic('t', { ...TOPIC, partitions: 2 })).partitions
  for (const partition of [bad!, good!]) append(partition)
  await log.durable(log.openCommit)
  for (let tries = 0; tries < 100; tries++) fs.failNext('write', { path: '/t-0/' })
  bad!.seal().catch(() => {})
  await good!.seal()
  assert.is(good!.sealedOffset, 1)
  assert.is(bad!.sealedOffset, 0)
})

test('room is announced although what was sealed left no block of memory free', async () => {
  const log = await open(new SimFileSystem(12), {
    arenaBytes: 512 * 1024,
    batchBytes: 4000,
    journalBytes: 4 * 1024 * 1024,
  })
  const { partitions } = await log.createTopic('t', { ...TOPIC, partitions: 200 })
  let refused: PartitionLog | undefined
  for (const partition of partitions) {
    if (append(partition, 3500) >= 0) continue
    refused = partition
    break
  }
  assert.ok(refused)
  let isAnnounced = false
  log.onRoom(() => {
    isAnnounced = true
  })
  await settle()
  assert.ok(isAnnounced)
  assert.is(append(refused!, 3500), 0)
})

test('what is sealed has the codec of its topic, which may change; what a producer packed keeps its own', async () => {
  const log = await open(new SimFileSystem(7), { kernel: new Kernel() })
  const { partitions } = await log.createTopic('t', TOPIC)
  const [partition] = partitions
  const sealed: number[] = []
  for (const compression of [undefined, 'lz4', 'none', 'zstd'] as const) {
    await log.alterTopic('t', { replicated: false, compression })
    const from = append(partition!)
    for (let more = 0; more < 9; more++) append(partition!)
    await log.durable(log.openCommit)
    await partition!.seal()
    const read = await partition!.readSealed(from, 1)
    sealed.push(read.kind === 'batches' ? readBatchHeader(read.bytes).codec : -1)
  }
  assert.equal(sealed, [CODEC_ZSTD, CODEC_LZ4, CODEC_NONE, CODEC_ZSTD])
  const kept = partition!.appendBatch(producerBatch(['a'.repeat(100)], { codec: CODEC_LZ4 }))
  await log.durable(log.openCommit)
  await partition!.seal()
  const read = await partition!.readSealed(kept, 1)
  assert.is(read.kind === 'batches' && readBatchHeader(read.bytes).codec, CODEC_LZ4)
  await log.close()
})

test('a tail that cannot grow makes records wait instead of becoming many small batches', async () => {
  const log = await open(new SimFileSystem(3), {
    ...LARGE_JOURNAL,
    // Logs of other tests may still seal with the shared one.
    kernel: new Kernel(),
    arenaBytes: 512 * 1024,
    batchBytes: 256 * 1024,
  })
  const { partitions } = await log.createTopic('t', { ...TOPIC, partitions: 2 })
  for (const partition of partitions) {
    while (append(partition, 1000) >= 0);
    assert.ok(partition.tails.length <= 2, `${partition.tails.length} tails`)
  }
  await settle()
  for (const partition of partitions) assert.ok(append(partition, 1000) >= 0)
  await log.close()
})

test.run()
