// tributary verify --live: what a running agent serves, through its listeners.
//
// - Every record of every partition is fetched: CRCs hold, offsets follow each other without a gap.
// - The listener's offsets must lie between those of the status before and after, because the agent
//   goes on meanwhile.
// - With a mirror, every record of what is replicated is compared, too.

import type { Status } from '../admin/status.ts'
import { AgentError } from '../base/errors.ts'
import { Admin } from '../kafka/client/admin.ts'
import type { Finding, KnownLoss } from '../log/findings.ts'
import { GapTracker } from '../log/gap-tracker.ts'
import { EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { type KafkaSession, openSession } from './kafka-session.ts'
import { loadedConfig } from './loaded-config.ts'
import {
  boundsOf,
  checkMirror,
  type LocalPartition,
  readCluster,
  servedPartition,
} from './mirror-check.ts'
import { ProgressBar } from './progress-bar.ts'
import { adminAddress, fetchStatus } from './status.ts'
import { formatCount } from './table.ts'
import { printFindings } from './verify-report.ts'

const LOSSES_MAX = 1000

export interface VerifyValues {
  readonly against?: string | undefined
  readonly upstream?: boolean | undefined
  readonly json?: boolean | undefined
  readonly 'bootstrap-server'?: string | undefined
  readonly admin?: string | undefined
  readonly config?: string | undefined
}

interface Served {
  topic: string
  partition: number
  start: number
  end: number
}

interface LiveResult {
  findings: Omit<Finding, 'kind'>[]
  losses: KnownLoss[]
  totals: { partitions: number; records: number; hollowRecords: number }
}

export async function verifyLive(values: VerifyValues, terminal: Terminal): Promise<ExitCode> {
  const { stdout } = terminal
  const admin = values.admin ?? (await adminAddress(values.config, terminal))
  const listener = { 'bootstrap-server': values['bootstrap-server'], config: values.config }
  const before = await fetchStatus(admin)
  const gateway = await openSession(listener, terminal)
  try {
    const served = await servedBy(gateway)
    const result = await checkServed(gateway, served, terminal)
    result.findings.push(...statusFaults(served, before, await fetchStatus(admin)))
    const ok = result.findings.length === 0
    if (values.json) await printLine(stdout, JSON.stringify({ ok, ...result }))
    else {
      await printFindings(stdout, result)
      await printLine(stdout, summaryOf(gateway, result))
    }
    const isCompared = values.against !== undefined || values.upstream === true
    const isSame = !isCompared || (await compareMirror(gateway, served, values, terminal))
    return ok && isSame ? EXIT.good : EXIT.notGood
  } finally {
    gateway.close()
  }
}

export function openMirror(values: VerifyValues, terminal: Terminal): Promise<KafkaSession> {
  const { against, config } = values
  const target = against === undefined ? { upstream: true } : { 'bootstrap-server': against }
  return openSession({ ...target, config }, terminal)
}

async function servedBy({ cluster }: KafkaSession): Promise<Served[]> {
  const admin = new Admin(cluster)
  const served: Served[] = []
  for (const { name, isInternal } of await admin.listTopics()) {
    if (name === null || isInternal) continue
    // One that was deleted meanwhile is none of ours.
    const description = await admin.describeTopic(name)
    for (const { partitionIndex, startOffset, endOffset } of description?.partitions ?? []) {
      served.push({ topic: name, partition: partitionIndex, start: startOffset, end: endOffset })
    }
  }
  return served.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : 0))
}

async function checkServed(
  session: KafkaSession,
  served: readonly Served[],
  terminal: Terminal,
): Promise<LiveResult> {
  const totals = { partitions: 0, records: 0, hollowRecords: 0 }
  const result: LiveResult = { findings: [], losses: [], totals }
  const expected = served.reduce((sum, { start, end }) => sum + end - start, 0)
  const bar = new ProgressBar(terminal.stderr, terminal.clock)
  const progress = () =>
    bar.show(totals.records / expected, () => `${formatCount(totals.records)} records`)
  try {
    for (const partition of served) {
      totals.partitions++
      await checkPartition(session, partition, terminal, result, progress)
    }
  } finally {
    bar.clear()
  }
  return result
}

async function checkPartition(
  session: KafkaSession,
  served: Served,
  terminal: Terminal,
  { findings, losses, totals }: LiveResult,
  progress: () => void,
): Promise<void> {
  const { topic, partition, start, end } = served
  const path = `${topic}-${partition}`
  const find = (position: number, what: string) =>
    findings.push({ path, position, what, fatal: true, repairable: false })
  const tracker = new GapTracker()
  let next = start
  try {
    const range = { topic, partition, from: start, to: end }
    for await (const record of readCluster(session, range, terminal)) {
      const { offset } = record
      // Retention may take what was to be read.
      const isBelowStart =
        next === start && offset > start && (await isGone(session, served, offset))
      if (offset !== next && !isBelowStart) find(next, `offset ${offset} instead of ${next}`)
      next = offset + 1
      totals.records++
      const reason = tracker.take(record)
      if (reason !== undefined) {
        totals.hollowRecords++
        addLoss(losses, { topic, partition, from: offset, to: offset, reason })
      }
      if ((totals.records & 0xfff) === 0) progress()
    }
  } catch (error) {
    // One that is away can be asked nothing more.
    if (!(error instanceof AgentError) || error.retriable) throw error
    find(next, error.message)
    return
  }
  if (next < end) find(next, `ends at ${next} instead of ${end}`)
}

async function isGone(
  { cluster }: KafkaSession,
  { topic, partition }: Served,
  offset: number,
): Promise<boolean> {
  return (await boundsOf(cluster, topic, partition)).start >= offset
}

function addLoss(losses: KnownLoss[], loss: KnownLoss): void {
  const last = losses.at(-1)
  const isSame = last?.topic === loss.topic && last.partition === loss.partition
  if (last !== undefined && isSame && last.reason === loss.reason && last.to === loss.from - 1) {
    last.to = loss.to
  } else if (losses.length < LOSSES_MAX) losses.push(loss)
}

/** Where the listener does not say what the status said before and after it was asked. */
function statusFaults(
  served: readonly Served[],
  before: Status,
  after: Status,
): Omit<Finding, 'kind'>[] {
  const faults: Omit<Finding, 'kind'>[] = []
  const find = (path: string, position: number, what: string) =>
    faults.push({ path, position, what, fatal: true, repairable: false })
  const [first, last] = [offsetsOf(before), offsetsOf(after)]
  for (const { topic, partition, start, end } of served) {
    const path = `${topic}-${partition}`
    const [low, high] = [first.get(path), last.get(path)]
    first.delete(path)
    // Made or deleted meanwhile.
    if (low === undefined || high === undefined) continue
    if (start < low.start || start > high.start) {
      find(path, start, `starts at ${start}; the status says ${span(low.start, high.start)}`)
    }
    if (end < low.end || end > high.end) {
      find(path, end, `ends at ${end}; the status says ${span(low.end, high.end)}`)
    }
  }
  for (const path of first.keys()) {
    if (last.has(path)) find(path, 0, 'is in the status, and the listener does not serve it')
  }
  return faults
}

function offsetsOf({ topics }: Status): Map<string, { start: number; end: number }> {
  return new Map(
    topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, logStartOffset: start, highWatermark: end }) => [
        `${topic}-${partition}`,
        { start, end },
      ]),
    ),
  )
}

function span(from: number, to: number): string {
  return from === to ? String(from) : `${from} to ${to}`
}

function summaryOf({ cluster }: KafkaSession, { findings, totals }: LiveResult): string {
  const { partitions, records, hollowRecords } = totals
  const empty = hollowRecords === 0 ? '' : `, ${formatCount(hollowRecords)} of them empty`
  const verdict = findings.length === 0 ? 'good' : `${findings.length} findings`
  const counts = `${formatCount(partitions)} partitions, ${formatCount(records)} records${empty}`
  return `${cluster.name}: ${verdict} (${counts})`
}

async function compareMirror(
  gateway: KafkaSession,
  served: readonly Served[],
  values: VerifyValues,
  terminal: Terminal,
): Promise<boolean> {
  const { config } = await loadedConfig(terminal, { file: values.config, required: true })
  const partitions = served
    .filter(({ topic }) => topic.startsWith(config.topicPrefix))
    .map(({ topic, partition }): LocalPartition => {
      return servedPartition(gateway, topic, partition, terminal)
    })
  const mirror = await openMirror(values, terminal)
  try {
    return await checkMirror(partitions, mirror, terminal)
  } finally {
    mirror.close()
  }
}
