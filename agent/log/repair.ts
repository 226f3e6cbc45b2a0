// Puts a stopped store right, as far as that can be done without inventing anything, and says what it
// did. What is lost stays lost: hollow records stand in for it, and its bytes are in the quarantine.
//
//   verify → what needs no log (bad indexes go, leader epochs) → open the log, which recovers
//          → read everything with its checksums, which mends → close, with a checkpoint → verify
//
// - Each step holds the store's lock for itself.
// - Another round is made while one leaves something that it should not: both copies of a checkpoint
//   are written in two.
// - Nothing is deleted for its age meanwhile.

import type { Kernel } from '../../wasm/kernel.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import { Logger, Metrics } from '../base/telemetry.ts'
import type { FileSystem } from './file-system.ts'
import type { Finding, FindingKind, KnownLoss } from './findings.ts'
import { Log } from './log.ts'
import type { LogOptions } from './log-options.ts'
import type { PartitionLog } from './partition-log.ts'
import { withReserveOf } from './reserve.ts'
import { type LockHandle, type LockOptions, lockStore } from './store-lock.ts'
import { type VerifyOptions, type VerifyResult, verifyStore } from './verify.ts'

export interface RepairOptions {
  fs: FileSystem
  directory: string
  clock: Clock
  kernel?: Kernel
  lock?: LockOptions
  /** Limits of the log that mends. */
  log?: Partial<LogOptions>
  onProgress?: VerifyOptions['onProgress']
}

export interface Repaired {
  before: VerifyResult
  after: VerifyResult
  /** What was done, one line each. */
  done: string[]
  /** What the log said while it could not do it all. */
  complaints: string[]
}

const ROUNDS_MAX = 3
const READ_BYTES = 1 << 20
const COMPLAINTS_MAX = 100

const REMEDIES: Record<FindingKind, string> = {
  checkpoint: 'written again',
  journal: 'replayed as far as it holds, and begun anew',
  segment: 'written again without what does not hold, whose bytes are in quarantine',
  epoch: 'set to 0',
  index: 'made again from its segment',
  metadata: 'written again',
  cursor: 'as it was',
  unfinished: 'removed',
  stray: 'as it was',
}

/** Faults: STORE_IN_USE, STORE_MISMATCH, I/O. */
export async function repairStore(options: RepairOptions): Promise<Repaired> {
  const complaints: string[] = []
  const before = await verifyLocked(options)
  let after = before
  for (let round = 0; round < ROUNDS_MAX && needsRepair(after); round++) {
    complaints.length = 0
    await mend(options, after, complaints)
    after = await verifyLocked(options)
  }
  return { before, after, done: doneBetween(before, after), complaints }
}

export function needsRepair({ findings }: VerifyResult): boolean {
  return findings.some(({ repairable }) => repairable)
}

async function verifyLocked(options: RepairOptions): Promise<VerifyResult> {
  const { fs, directory, kernel, onProgress } = options
  const handle = await lockAsRepairer(options)
  try {
    return await verifyStore(fs, directory, {
      ...(kernel && { kernel }),
      ...(onProgress && { onProgress }),
    })
  } finally {
    await handle.release()
  }
}

/** Also on a disk without a byte left. */
function lockAsRepairer({ fs, directory, clock, lock }: RepairOptions): Promise<LockHandle> {
  return lockStore(withReserveOf(directory, fs, clock), directory, { device: fs, ...lock })
}

async function mend(
  options: RepairOptions,
  { findings }: VerifyResult,
  complaints: string[],
): Promise<void> {
  const { fs, directory, clock, kernel, lock } = options
  const handle = await lockAsRepairer(options)
  try {
    for (const finding of findings) await mendFile(fs, finding)
  } finally {
    await handle.release()
  }
  const logger = new Logger({
    level: 'warn',
    format: 'text',
    now: () => clock.now(),
    write: (line) => {
      if (complaints.length < COMPLAINTS_MAX) complaints.push(line.trimEnd())
    },
  })
  const log = await Log.open({
    ...options.log,
    ...{ fs, directory, clock, logger, metrics: new Metrics(), retains: false },
    ...(kernel && { kernel }),
    ...(lock && { lock }),
  })
  try {
    for (const { partitions } of log.topics()) {
      for (const partition of partitions) await readAll(partition, complaints)
    }
  } finally {
    await log.close()
  }
}

/** What a log would not put right by reading. */
async function mendFile(fs: FileSystem, { kind, path, position }: Finding): Promise<void> {
  if (kind === 'index') {
    // The log makes it again when it is missing.
    await fs.remove(path).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }
  if (kind !== 'epoch') return
  const file = await fs.open(path, 'write')
  try {
    await file.write([Buffer.alloc(4)], position)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function readAll(partition: PartitionLog, complaints: string[]): Promise<void> {
  await readRecords(partition, complaints)
  const all = { from: partition.logStartOffset, to: Number.POSITIVE_INFINITY }
  // What is missing of them is made again.
  for (const segment of partition.segments.within(all)) await segment.loadIndexes()
}

async function readRecords(partition: PartitionLog, complaints: string[]): Promise<void> {
  let offset = partition.logStartOffset
  while (offset < partition.highWatermark) {
    try {
      const read = await partition.read(offset, READ_BYTES)
      if (read.kind === 'empty') return
      offset = read.kind === 'batches' ? read.nextOffset : read.logStartOffset
    } catch (error) {
      if (codeOf(error) !== 'CORRUPT_STORE') throw error
      complaints.push(String(error))
      return
    }
  }
}

function doneBetween(before: VerifyResult, after: VerifyResult): string[] {
  const key = ({ kind, path, position }: Finding) => `${kind} ${path} ${position}`
  const left = new Set(after.findings.map(key))
  const done = before.findings
    .filter((finding) => !left.has(key(finding)))
    .map(({ kind, path, position, what }) => {
      const place = position === 0 ? path : `${path} at byte ${position}`
      return `${place} (${what}): ${REMEDIES[kind]}`
    })
  const isKnown = (loss: KnownLoss) =>
    before.losses.some(
      ({ topic, partition, from, to }) =>
        topic === loss.topic && partition === loss.partition && from <= loss.from && loss.to <= to,
    )
  for (const loss of after.losses) {
    if (!isKnown(loss)) done.push(`${lossText(loss)} are lost: empty records stand for them now`)
  }
  return done
}

/** `plant-7.sensors-0: offsets 5 to 9 (rot)` */
export function lossText({ topic, partition, from, to, reason }: KnownLoss): string {
  const range = from === to ? `offset ${from}` : `offsets ${from} to ${to}`
  return `${topic}-${partition}: ${range} (${reason})`
}
