// What happens to a simulated log, one thing a step, by chance.

import { buildBatch } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { BrokenPromise } from '../support/broken-promise.ts'
import type { Life } from './life.ts'
import { checkBytes, checkRange, checkTime } from './log-checks.ts'
import type { ModelRecord, Target } from './log-model.ts'

type Action = (life: Life) => Promise<void> | void

/** Of a thousand steps. */
const ACTIONS: readonly (readonly [weight: number, action: Action])[] = [
  [420, append],
  [150, commit],
  [50, waitABit],
  [70, readSomewhere],
  [40, seal],
  [30, split],
  [20, appendBatch],
  [10, appendLarge],
  [20, grow],
  [10, addPartitions],
  [10, deleteTopic],
  [25, replicate],
  [15, retain],
  [15, restart],
  [25, failSomething],
  [8, fillDisk],
  [25, (life) => life.crashSoon(40)],
  [25, putMany],
  [15, hold],
  [10, ({ model, log }) => model.letGo(log)],
  [3, ({ clock, random }) => clock.jump(random.below(2e9) - 1e9)],
  [9, ({ clock, random }) => clock.advance(random.below(5000))],
]
/** What gives the store no new name. */
const QUIET: readonly Action[] = [append, commit, waitABit, readSomewhere, seal, split, putMany]
const WEIGHTS = ACTIONS.reduce((sum, [weight]) => sum + weight, 0)

export async function step(life: Life): Promise<void> {
  if (life.targets().length === 0) grow(life)
  let roll = life.random.below(WEIGHTS)
  for (const [weight, action] of ACTIONS) {
    roll -= weight
    if (roll >= 0) continue
    if (life.quietStepsLeft > 0 && !QUIET.includes(action)) return
    if (action !== append && action !== waitABit) life.tell(action.name)
    await action(life)
    return
  }
}

function append(life: Life): void {
  const target = life.pick()
  if (target !== undefined) appendTo(life, target)
}

function appendTo(life: Life, { partition, model }: Target): void {
  const { random } = life
  for (let left = 1 + random.below(8); left > 0; left--) {
    const size = random.chance(0.05) ? random.below(3000) : random.below(120)
    const record = newRecord(life, size)
    const value = Buffer.from(record.value)
    const headers = random.chance(0.2) ? [['h', value.subarray(0, 5)] as const] : []
    record.key = random.chance(0.5) ? value.toString('latin1', 0, 4) : null
    const key = record.key === null ? null : value.subarray(0, 4)
    const offset = partition.appendRecord({ timestamp: record.timestamp, key, value, headers })
    if (offset < 0) break
    if (offset !== model.records.length)
      throw new BrokenPromise(`${partition.name}: offset ${offset}`)
    model.records.push(record)
    life.count('records')
  }
  markEnd(life, { partition, model })
}

/** A record that takes much of a frame, and does not get smaller. */
export function appendLong(life: Life): void {
  const target = life.pick()
  if (target === undefined) return
  const { partition, model } = target
  const record = newRecord(life, 0)
  record.value += life.extra.bytes(600 + life.extra.below(1500)).toString('latin1')
  const value = Buffer.from(record.value, 'latin1')
  if (partition.appendRecord({ timestamp: record.timestamp, key: null, value }) < 0) return
  model.records.push(record)
  markEnd(life, target)
}

function appendBatch(life: Life): void {
  const target = life.pick()
  if (target === undefined) return
  const count = 1 + life.random.below(5)
  const records = Array.from({ length: count }, () => newRecord(life, 80))
  const batch = buildBatch(
    records.map(({ timestamp, value }) => ({ timestamp, key: null, value: Buffer.from(value) })),
    { codecs, codec: 3 },
  )
  if (target.partition.appendBatch(batch) < 0) return
  target.model.records.push(...records)
  markEnd(life, target)
}

/** A record that no slot holds. */
function appendLarge(life: Life): void {
  const target = life.pick()
  if (target === undefined || life.random.chance(0.7)) return
  const record = newRecord(life, 262_000 + life.random.below(20_000))
  const value = Buffer.from(record.value)
  const { timestamp } = record
  if (target.partition.appendRecord({ timestamp, key: null, value }) < 0) return
  target.model.records.push(record)
  markEnd(life, target)
}

/** So many entries at once that a commit may need several frames: all of them count, or none. */
function putMany(life: Life): void {
  const { state } = life.log
  const isDelete = life.random.chance(0.2)
  const value = Buffer.from(String(++life.model.puts).padEnd(life.random.below(60), ' '))
  for (let entry = 0; entry < 60; entry++) {
    if (isDelete) state.delete(`many/${entry}`)
    else state.put(`many/${entry}`, value)
  }
  append(life)
}

/** An id that is held with its record, as QoS 2 asks. */
function hold(life: Life): void {
  const target = life.pick()
  if (target === undefined) return
  const before = target.model.records.length
  appendTo(life, target)
  if (target.model.records.length > before) life.model.hold(life.log, target)
}

/** State that must live and die with the records before it. */
function markEnd(life: Life, { partition, model }: Target): void {
  life.logIds.set(partition.logId, model)
  const end = Buffer.from(String(partition.logEndOffset))
  life.log.state.put(life.model.keyOf(partition), end)
  if (life.random.chance(0.3)) life.log.state.put('ride/x', end, { ride: true })
}

export async function commit(life: Life): Promise<void> {
  const { log } = life
  const number = log.openCommit
  const { ack } = life.model.beginCommit()
  log.requestCommit()
  // In the moment in which the log says so, and not a turn later.
  await life.progress(log.durable(number).then(ack))
}

async function waitABit(life: Life): Promise<void> {
  for (let turns = life.random.below(60); turns > 0; turns--) await undefined
  life.observe()
}

async function readSomewhere(life: Life): Promise<void> {
  const { random } = life
  const target = life.pick()
  if (target === undefined) return
  const { partition, model } = target
  life.observe()
  const span = partition.highWatermark - partition.logStartOffset
  const offset = partition.logStartOffset + random.below(span + 1)
  const ranges = [checkRange(target, offset, offset + 20, random)]
  // What is read while it is sealed or deleted is right or refused.
  if (random.chance(0.2)) ranges.push(partition.seal())
  await life.progress(Promise.all(ranges))
  const sealed = await life.progress(partition.readSealed(offset, 1000))
  if (sealed.kind === 'batches') checkBytes(target, sealed.bytes, true)
  const time = model.records[random.below(model.records.length)]?.timestamp ?? 0
  if (random.chance(0.5)) partition.freeze()
  if (!life.model.isTimeDoubtful) await life.progress(checkTime(target, time))
  life.count('reads')
}

async function seal(life: Life): Promise<void> {
  const target = life.pick()
  if (target !== undefined) await life.progress(target.partition.seal())
}

async function split(life: Life): Promise<void> {
  const { random } = life
  const target = life.pick()
  if (target === undefined) return
  const { partition } = target
  const span = partition.logEndOffset - partition.sealedOffset
  if (span < 2) return
  if (!life.isDamaged) await sealMeanwhile(life, target)
  if (partition.logEndOffset - partition.sealedOffset < span) return
  const at = partition.sealedOffset + 1 + random.below(span - 1)
  const tail = partition.tails.find(({ endOffset }) => endOffset > at)
  const mustSplit = tail?.kind === 'records' && !tail.sealing
  const splits = [partition.splitAt(at)]
  if (random.chance(0.3)) splits.push(partition.splitAt(at + random.below(3)))
  await life.progress(Promise.all(splits))
  if (!mustSplit || partition.isDeleted) return
  const read = await life.progress(partition.read(at, 1))
  if (read.kind !== 'batches') return
  checkBytes(target, read.bytes, false)
  if (read.baseOffset === at) return
  throw new BrokenPromise(`${partition.name}: no batch begins at ${at}, where it was split`)
}

/** Until some turns later a tail may be on its way to a segment. */
async function sealMeanwhile({ extra }: Life, { partition }: Target): Promise<void> {
  if (extra.chance(0.5)) return
  partition.seal().catch(() => {})
  for (let turns = extra.below(20); turns > 0; turns--) await undefined
}

function grow(life: Life): void {
  const names = ['sim.a', 'sim.b', 'sim.c']
  const known = names[life.random.below(names.length)]!
  // Without its state, nobody could tell which of two topics of one name a directory belongs to.
  const name = life.isDamaged ? `${known}${life.model.topics++}` : known
  if (life.isDamaged && life.targets().length > 6) return
  try {
    const partitions = 1 + life.random.below(2)
    const replicated = life.random.chance(0.8)
    const whenFull = life.random.chance(0.5) ? 'dropOldest' : 'block'
    // The limits here are shrunk for what LZ4 makes of a few records: zstd would leave fewer segments.
    const policy = { replicated, whenFull, retentionMs: 60_000, compression: 'lz4' } as const
    const settings = { partitions, ...policy }
    const topic = life.log.ensureTopic(name, settings)
    for (const partition of topic.partitions) life.model.know(partition)
  } catch (error) {
    if (!String(error).includes('being deleted')) throw error
  }
}

async function addPartitions(life: Life): Promise<void> {
  const topic = life.pick()?.partition.topic
  if (topic === undefined || topic.partitions.length > 3) return
  // One that the state has lost may have left a directory of this name.
  if (life.model.wasStateDoubtful) return
  const added = life.log.addPartitions(topic.name, topic.partitions.length + 1)
  for (const partition of topic.partitions) life.model.know(partition)
  await life.progress(added)
}

async function deleteTopic(life: Life): Promise<void> {
  const topic = life.pick()?.partition.topic
  if (topic === undefined || life.random.chance(0.3)) return
  const models = life.model.partitions
  const keys = topic.partitions.map((partition) => life.model.keyOf(partition))
  for (const key of keys) models.get(key)!.mayBeGone = true
  const { log } = life
  const deleted = log.deleteTopic(topic.name)
  for (const key of keys) log.state.delete(key)
  if (life.random.chance(0.3)) append(life)
  await life.progress(deleted)
  for (const key of keys) life.model.bury(key)
}

/** As the replicator does: the lease is durable before anything is sent, the cursor rides. */
async function replicate(life: Life): Promise<void> {
  const { log, random } = life
  const target = life.pick()
  if (target === undefined || !target.partition.topic.replicated) return
  const { partition, model } = target
  // What is being given up is not sent.
  while (partition.dropping !== undefined) await life.progress(partition.dropping)
  const span = partition.highWatermark - partition.replicatedOffset
  if (span <= 0 || partition.isDeleted) return
  life.observe()
  const any = partition.replicatedOffset + 1 + random.below(span)
  const sent = life.isDamaged ? any : nearBatch(life, target, any)
  if (sent > partition.pinnedOffset) {
    partition.pinnedOffset = sent
    log.state.put(`repl/sent/${partition.logId}`, Buffer.from(String(sent)))
    await life.progress(log.durable(log.openCommit))
    model.pinned = sent
  }
  if (random.chance(0.3) || partition.isDeleted) return
  partition.replicatedOffset = sent
  const cursor = Buffer.from(JSON.stringify({ acked: sent }))
  const ride = random.chance(0.8)
  if (!ride) model.cursor = sent
  log.state.put(`repl/${partition.logId}`, cursor, { ride })
}

/** What is sent ends often inside of a sealed batch, or at its border: hollowing may begin there. */
function nearBatch({ extra }: Life, { partition }: Target, offset: number): number {
  const sealed = partition.sealedOffset - partition.replicatedOffset
  if (sealed > 1 && extra.chance(0.5)) return partition.replicatedOffset + 1 + extra.below(sealed)
  if (extra.chance(0.5)) return offset
  const batch = partition.tails.find(({ endOffset }) => endOffset >= offset)
  const next = (batch?.baseOffset ?? offset) + extra.below(2)
  return next > partition.replicatedOffset && next <= partition.highWatermark ? next : offset
}

async function retain(life: Life): Promise<void> {
  life.clock.advance(40_000)
  life.observe()
  await life.progress(life.log.retain())
  life.observe()
}

/** From now on hardly anything fits; whoever waits for long finds that somebody made room. */
function fillDisk(life: Life): void {
  life.count('diskFull')
  life.fs.faults.capacityBytes = life.fs.usedBytes + life.random.below(6000)
}

function restart(life: Life): Promise<void> {
  if (life.random.chance(0.2)) life.crashSoon(80)
  return life.restartCleanly()
}

const FILES = ['journal-', '.log', 'checkpoint', 'index'] as const
const TAKES_ROOM = ['write', 'sync', 'open', 'truncate', 'makeDirectory', 'rename'] as const
const ANY = [
  ...TAKES_ROOM,
  'read',
  'list',
  'remove',
  'removeDirectory',
  'size',
  'syncDirectory',
  'freeBytes',
] as const

/** Half of what fails is writing and syncing of the files that matter most. */
function failSomething({ fs, random }: Life): void {
  const isCommon = random.chance(0.5)
  const path = isCommon || random.chance(0.5) ? FILES[random.below(FILES.length)]! : ''
  const code = random.chance(0.5) ? 'EIO' : 'ENOSPC'
  const operations = code === 'EIO' ? ANY : TAKES_ROOM
  const operation = operations[random.below(isCommon ? 2 : operations.length)]!
  fs.failNext(operation, { path, code, passes: random.below(3) })
}

function newRecord(life: Life, size: number): ModelRecord {
  const number = String(life.nextValue())
  const drift = life.random.chance(0.1) ? life.random.below(1e9) - 5e8 : 0
  const timestamp = life.clock.now() + drift
  return { timestamp, key: null, value: number.padStart(6, '0').padEnd(size, 'x') }
}
