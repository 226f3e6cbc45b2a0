// An fsck for the store of a stopped agent: reads every byte, writes none.
//
//   1. checkpoints and journal     verify-journal.ts: the state, and what the journal holds
//   2. partitions of every topic   verify-partition.ts: segments, indexes, cursors
//   3. what else is there          quarantine, reserve, what belongs to nothing
//
// A finding is fatal when something acked can no longer be read as it was written. What the next
// start puts right by itself (a torn end that the journal covers, an index, a stray file) is not.
// Losses that hollow records stand for already are told apart: they are known, and no damage.

import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { FileSystem } from './file-system.ts'
import { type Finding, Findings, type KnownLoss, type VerifyTotals } from './findings.ts'
import { partitionDirectory } from './partition-directories.ts'
import { QUARANTINE_DIRECTORY } from './quarantine.ts'
import { RESERVE_NAME } from './reserve.ts'
import { topicRecords } from './topic.ts'
import { checkJournal, type JournalFacts } from './verify-journal.ts'
import { checkPartition } from './verify-partition.ts'

export interface VerifyResult {
  /** Nothing that was acked is damaged. */
  ok: boolean
  findings: Finding[]
  losses: KnownLoss[]
  totals: VerifyTotals
}

export interface VerifyOptions {
  /** After each file. */
  onProgress?: (path: string, bytes: number) => void
  /** One that no log is using; by default a new one. */
  kernel?: Kernel
}

/** Names at the top that are always ours. */
const OWN_NAMES = /^(lock(\..+)?|journal-\d+|checkpoint-[01])$/

/** Fault: STORE_MISMATCH when the store has a newer format. */
export async function verifyStore(
  fs: FileSystem,
  directory: string,
  { onProgress, kernel }: VerifyOptions = {},
): Promise<VerifyResult> {
  const findings = new Findings()
  const codecs = new Codecs(kernel ?? new Kernel())
  const progress = onProgress ?? (() => {})
  const context = { fs, codecs, directory, findings, progress }
  const facts = await checkJournal(context)
  const names = new Set<string>()
  for (const partition of partitionsOf(facts)) {
    names.add(`${partition.topic}-${partition.partition}`)
    await checkPartition({ ...context, state: facts.state }, partition)
  }
  await checkRest(context, facts, names)
  const { listed, losses, totals, isFatal } = findings
  return { ok: !isFatal, findings: listed, losses, totals }
}

type Context = Parameters<typeof checkJournal>[0]

function* partitionsOf({ checkpoint, state, journaled }: JournalFacts) {
  const marks = new Map(checkpoint?.partitions.map((mark) => [mark.logId, mark.recoveryOffset]))
  for (const [topic, { logIds }] of topicRecords(state)) {
    for (const [partition, logId] of logIds.entries()) {
      // The journal has all of what was made after the checkpoint, and segments may have none.
      const recoveryOffset = marks.get(logId) ?? 0
      yield { topic, partition, logId, recoveryOffset, journaled: journaled.get(logId) ?? [] }
    }
  }
}

async function checkRest(
  context: Context,
  { state, isRebuilt }: JournalFacts,
  partitions: ReadonlySet<string>,
): Promise<void> {
  const { fs, directory, findings, progress } = context
  for (const name of await fs.list(directory)) {
    const path = `${directory}/${name}`
    if (partitions.has(name) || OWN_NAMES.test(name) || state.has(`deleted/${name}`)) continue
    if (name === RESERVE_NAME) {
      progress(path, (await fs.size(path)) ?? 0)
    } else if (name === QUARANTINE_DIRECTORY) {
      for (const file of await fs.list(path)) {
        findings.totals.quarantineFiles++
        findings.totals.quarantineBytes += (await fs.size(`${path}/${file}`)) ?? 0
      }
    } else if ((await partitionDirectory(context, name)) === undefined) {
      findings.note('stray', path, 0, 'belongs to nothing in this store')
    } else if (isRebuilt) {
      findings.wrong(
        'checkpoint',
        path,
        0,
        'a partition that the state has lost; a start takes it in',
      )
    } else {
      // What a crash left of a topic that was deleted looks like this too.
      const what = 'a partition that the state does not know: no start serves it, nor removes it'
      findings.note('stray', path, 0, what)
    }
  }
}
