// Damage to a stopped store: bits that flip, sectors that cannot be read, files that are shorter or
// gone. The model learns what it may cost: the batches and frames that were hit, and nothing else.

import { decodeCheckpoint } from '../../agent/log/checkpoint.ts'
import { decodeEntries, type JournalEntry } from '../../agent/log/journal-entry.ts'
import {
  type JournalFrame,
  type JournalHeader,
  readFrames,
} from '../../agent/log/journal-reader.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { Life } from './life.ts'
import type { ModelPartition } from './log-model.ts'

/** Bytes of a file that are not what they were. */
interface Hit {
  from: number
  to: number
}

const SECTOR = 512
/** Base offset, length and leader epoch. */
const BATCH_UNCHECKED_BYTES = 16
const kernel = new Kernel()
const codecs = new Codecs(kernel)

/** Each of these stands in for another one that is damaged. */
const SECONDS = ['checkpoint-', 'journal-', 'partition.metadata']

/**
 * Does one thing to one file. What the power takes from a segment only the journal has, so a journal is
 * not hit together with a power cut.
 */
export function damage(life: Life, mayHitJournal: boolean): void {
  const { fs, random } = life
  const spared = ['lock', ...(mayHitJournal ? [] : ['journal-']), ...(life.isFrail ? SECONDS : [])]
  const isSpared = (path: string) => spared.some((name) => path.includes(`/${name}`))
  const paths = fs.paths().filter((path) => fs.contents(path).length > 0 && !isSpared(path))
  const path = paths[random.below(paths.length)]
  if (path === undefined) return
  life.isFrail ||= SECONDS.some((name) => path.includes(`/${name}`))
  const bytes = fs.contents(path)
  const hit = strike(life, path, bytes)
  life.tell(`damage to ${path}: ${hit.from} to ${hit.to} of ${bytes.length}`)
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (name.endsWith('.log')) hitSegment(life, path, bytes, hit)
  else if (name.startsWith('journal-')) hitJournal(life, bytes, hit)
  else if (name.endsWith('.timeindex')) life.model.isTimeDoubtful = true
  else if (name.startsWith('checkpoint-')) hitCheckpoint(life, path, bytes)
}

/** The other copy too, now and then. One alone costs nothing when the other says the same. */
function hitCheckpoint(life: Life, path: string, bytes: Buffer): void {
  const other = path.endsWith('0') ? path.replace(/0$/, '1') : path.replace(/1$/, '0')
  const others = life.fs.paths().includes(other) ? life.fs.contents(other) : Buffer.alloc(0)
  if (others.length === 0 || life.random.chance(0.7)) {
    const beginning = beginningOf(others)
    if (beginning === undefined || beginning !== beginningOf(bytes)) doubtState(life)
    return
  }
  doubtState(life)
  life.tell(`and to ${other}`)
  strike(life, other, others)
}

/** Generation and sequence that replay begins with; undefined when it does not hold. */
function beginningOf(bytes: Buffer): string | undefined {
  const outcome = decodeCheckpoint(bytes, codecs)
  if (outcome.kind !== 'checkpoint') return undefined
  return `${outcome.checkpoint.generation} ${outcome.checkpoint.sequence}`
}

function strike(life: Life, path: string, bytes: Buffer): Hit {
  const { fs, random } = life
  const at = random.below(bytes.length)
  switch (random.below(4)) {
    case 0:
      life.count('files lost')
      fs.lose(path)
      return { from: 0, to: bytes.length }
    case 1:
      life.count('files shortened')
      fs.shorten(path, at)
      return { from: at, to: bytes.length }
    case 2: {
      const from = Math.floor(at / SECTOR) * SECTOR
      const to = from + SECTOR
      // What is written to a bad sector later would be as lost.
      if (to > bytes.length) return { from: 0, to: 0 }
      life.count('sectors spoiled')
      fs.spoil(path, at)
      return { from, to }
    }
    default:
      life.count('bits flipped')
      fs.rot(path, at, 1 << random.below(8))
      return { from: at, to: at + 1 }
  }
}

/**
 * Where retention has been, and which topics are being deleted, only the state says: without it their
 * files are missing.
 */
function doubtState(life: Life): void {
  life.model.doubtState()
  const paths = life.fs.paths().filter((path) => path.endsWith('.log'))
  for (const [key, model] of life.model.partitions) {
    const bases = paths
      .map((path) => path.split('/').slice(-2) as [string, string])
      .filter(([directory]) => key.endsWith(`/${directory}`))
      .map(([, name]) => Number.parseInt(name, 10))
    // Of what retention was removing some may be there still, in any order.
    const first = Math.max(model.start, bases.length === 0 ? 0 : Math.min(...bases))
    if (first > 0) model.isCountDoubtful = true
    model.mayBeLost.add(0, first)
    if (model.mayBeGone) lose(model, 0, model.records.length)
  }
}

function hitSegment(life: Life, path: string, bytes: Buffer, hit: Hit): void {
  const directory = path.split('/').at(-2)!
  for (const [key, model] of life.model.partitions) {
    // Of several topics that had this name one at most is still there.
    if (!key.endsWith(`/${directory}`)) continue
    for (let at = 0; at + 61 <= bytes.length; ) {
      const size = bytes.readInt32BE(at + 8) + 12
      const base = Number(bytes.readBigInt64BE(at))
      const end = base + bytes.readInt32BE(at + 23) + 1
      if (size < 61 || end <= base) break
      if (at < hit.to && at + size > hit.from) lose(model, base, end)
      // No CRC covers where a batch says that it begins and ends: others are missed for it.
      if (at < hit.to && at + BATCH_UNCHECKED_BYTES > hit.from) lose(model, 0, model.records.length)
      at += size
    }
  }
}

/** With nothing acked behind it, nobody can know that it was there. */
function lose(model: ModelPartition, from: number, to: number): void {
  model.isCountDoubtful ||= model.mayBeLost.touches(from, to) || model.lost.touches(from, to)
  model.mayBeLost.add(from, to)
  const range = model.mayBeLost.holding(model.durable - 1)
  if (range !== undefined) model.mayEnd = Math.min(model.mayEnd, range.from)
}

function hitJournal(life: Life, bytes: Buffer, hit: Hit): void {
  const header = headerOf(bytes)
  if (header === undefined) return
  doubtState(life)
  let isCommitHit = false
  let commit: JournalFrame[] = []
  for (const outcome of readFrames(kernel, bytes, header)) {
    if (outcome.kind !== 'frame') continue
    const { frame } = outcome
    commit.push(frame)
    isCommitHit ||= frame.position < hit.to && frame.position + frame.size > hit.from
    if (frame.more) continue
    if (isCommitHit) for (const { payload } of commit) loseEntries(life, payload)
    commit = []
    isCommitHit = false
  }
}

function headerOf(bytes: Buffer): JournalHeader | undefined {
  if (bytes.length < SECTOR || bytes.readUInt32BE(0) === 0) return undefined
  return {
    generation: Number(bytes.readBigUInt64BE(8)),
    salt: bytes.readUInt32BE(16),
    crc: bytes.readUInt32BE(20),
  }
}

function loseEntries(life: Life, payload: Buffer): void {
  for (const entry of decodeEntries(payload) ?? []) {
    if (entry.kind === 'put' && entry.key.startsWith('topic/')) loseTopic(life, entry.key.slice(6))
    const range = rangeOf(entry)
    if (range === undefined) continue
    const model = life.logIds.get(range.logId)
    if (model !== undefined) lose(model, range.from, range.to)
  }
}

/** Records that nobody can tell the topic of any more are as lost as those that were hit. */
function loseTopic(life: Life, topic: string): void {
  for (const [key, model] of life.model.partitions) {
    if (!key.startsWith(`end/${topic}-`)) continue
    model.mayBeGone = true
    lose(model, 0, model.records.length)
  }
}

function rangeOf(entry: JournalEntry): { logId: number; from: number; to: number } | undefined {
  if (entry.kind === 'records') {
    const from = entry.tailBase + entry.firstDelta
    return { logId: entry.logId, from, to: from + entry.count }
  }
  if (entry.kind !== 'batch') return undefined
  const { logId, baseOffset } = entry
  return { logId, from: baseOffset, to: baseOffset + entry.bytes.readInt32BE(23) + 1 }
}
