// The proof: what the fleet was promised against every record that both Kafka listeners serve.
//
//   ledger (published, acked) ─▶ gateway ═ record by record ═ cloud ─▶ lost? twice?
//
// Both ends are read completely, partition by partition, the way a Kafka client does: same topic,
// partition, offset, timestamp, key, value and headers, or it is said which record differs.

import { type AckedLedger, type LedgerReport, Observations } from '../../../firmware-sim/ledger.ts'
import { readMessage } from '../../../firmware-sim/message.ts'
import type { Status } from '../../admin/status.ts'
import type { DecodedRecord } from '../../record/record-batch.ts'
import type { Terminal } from '../command.ts'
import { type KafkaSession, openSession } from '../kafka-session.ts'
import { servedPartition } from '../mirror-check.ts'
import { compareRecords } from '../mirror-comparison.ts'
import { formatCount } from '../table.ts'

export interface Evidence {
  /** Messages that the devices made. */
  readonly published: number
  readonly acked: number
  /** Given up by the devices themselves. */
  readonly dropped: number
  readonly gatewayRecords: number
  readonly cloudRecords: number
  /** Records at the same offset on both sides with the same content. */
  readonly identical: number
  readonly lost: number
  readonly twice: number
  /** Empty when the proof holds; else each a sentence. */
  readonly differences: readonly string[]
}

interface Side {
  readonly name: 'gateway' | 'cloud'
  readonly session: KafkaSession
  readonly status: Pick<Status, 'topics'>
  readonly seen: Observations
  records: number
}

interface End {
  readonly kafkaAddress: string
  readonly status: Pick<Status, 'topics'>
}

const DIFFERENCES_MAX = 20

/** Everything must be at rest: no device publishes, and the gateway has nothing left to send. */
export async function prove(
  ends: { readonly gateway: End; readonly cloud: End },
  fleet: {
    readonly published: number
    readonly acked: number
    readonly dropped: number
    readonly ledger: AckedLedger
  },
  terminal: Terminal,
): Promise<Evidence> {
  const gateway = await openSide('gateway', ends.gateway, terminal)
  const cloud = await openSide('cloud', ends.cloud, terminal)
  try {
    const differences: string[] = []
    let identical = 0
    for (const name of partitionNames(gateway, cloud)) {
      const result = await compare(name, gateway, cloud, terminal)
      identical += result.identical
      differences.push(...result.differences)
    }
    const { published, acked, dropped, ledger } = fleet
    const [here, there] = [gateway.seen.report(ledger), cloud.seen.report(ledger)]
    differences.push(...countFaults({ published, acked, dropped }, gateway, cloud))
    differences.push(...ledgerFaults('gateway', here), ...ledgerFaults('cloud', there))
    return {
      published,
      acked,
      dropped,
      gatewayRecords: gateway.records,
      cloudRecords: cloud.records,
      identical,
      lost: there.lost,
      twice: there.twice,
      differences: differences.slice(0, DIFFERENCES_MAX),
    }
  } finally {
    gateway.session.close()
    cloud.session.close()
  }
}

/** What one listener has of the messages that were acked until now. */
export async function auditListener(
  end: End,
  acked: AckedLedger,
  terminal: Terminal,
): Promise<LedgerReport> {
  const side = await openSide('gateway', end, terminal)
  try {
    for (const [topic, partition] of partitionsOf(end.status)) {
      const served = servedPartition(side.session, topic, partition, terminal)
      const { start, end } = await served.bounds()
      for await (const _ of watched(served.read(start, end), side));
    }
    return side.seen.report(acked)
  } finally {
    side.session.close()
  }
}

async function openSide(name: Side['name'], end: End, terminal: Terminal): Promise<Side> {
  const session = await openSession({ 'bootstrap-server': end.kafkaAddress }, terminal)
  return { name, session, status: end.status, seen: new Observations(), records: 0 }
}

function partitionsOf({ topics }: Pick<Status, 'topics'>): [topic: string, partition: number][] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition }): [string, number] => [topic, partition]),
  )
}

/** Every partition that one side or both have, as a JSON pair. */
function partitionNames(gateway: Side, cloud: Side): Set<string> {
  const both = [...partitionsOf(gateway.status), ...partitionsOf(cloud.status)]
  return new Set(both.map((pair) => JSON.stringify(pair)))
}

async function compare(name: string, gateway: Side, cloud: Side, terminal: Terminal) {
  const [topic, partition] = JSON.parse(name) as [string, number]
  const where = `${topic}-${partition}`
  const missing = [gateway, cloud].find(
    (side) => !partitionsOf(side.status).some((pair) => JSON.stringify(pair) === name),
  )
  if (missing !== undefined) {
    return { identical: 0, differences: [`${where} is not on the ${missing.name}`] }
  }
  const [here, there] = [gateway, cloud].map((side) =>
    servedPartition(side.session, topic, partition, terminal),
  )
  const [mine, theirs] = [await here!.bounds(), await there!.bounds()]
  const result = await compareRecords(
    watched(here!.read(mine.start, mine.end), gateway),
    watched(there!.read(theirs.start, theirs.end), cloud),
  )
  const differences = result.differences.map((phrase) => `${where}: ${phrase} (cloud)`)
  if (mine.start !== theirs.start || mine.end !== theirs.end) {
    differences.unshift(
      `${where}: offsets ${mine.start} to ${mine.end} on the gateway, ${theirs.start} to ${theirs.end} in the cloud`,
    )
  }
  return { identical: result.identical, differences }
}

async function* watched(
  records: AsyncIterable<DecodedRecord>,
  side: Side,
): AsyncGenerator<DecodedRecord> {
  for await (const record of records) {
    side.records++
    const message = record.value === null ? undefined : readMessage(record.value)
    if (message !== undefined) side.seen.see(message.device, message.sequence)
    yield record
  }
}

function countFaults(
  { published, acked, dropped }: Pick<Evidence, 'published' | 'acked' | 'dropped'>,
  gateway: Side,
  cloud: Side,
): string[] {
  const faults: string[] = []
  const expect = (what: string, count: number) => {
    if (count !== published) {
      faults.push(`${formatCount(published)} published, but ${formatCount(count)} ${what}`)
    }
  }
  expect('acked', acked)
  expect('records on the gateway', gateway.records)
  expect('records in the cloud', cloud.records)
  if (dropped > 0) faults.push(`${formatCount(dropped)} given up by devices: outbox full`)
  if (published === 0) faults.push('nothing was published')
  return faults
}

function ledgerFaults(name: string, report: LedgerReport): string[] {
  const { lost, twice, outOfOrder, examples } = report
  if (lost + twice + outOfOrder === 0) return []
  return [
    `${name}: ${formatCount(lost)} acked and lost, ${formatCount(twice)} twice, ${formatCount(outOfOrder)} out of order`,
    ...examples.map((example) => `${name}: ${example}`),
  ]
}

/** The line of the proof, whichever way it came out. */
export function proofLine(evidence: Evidence): string {
  const { published, acked, gatewayRecords, cloudRecords, identical, lost, twice } = evidence
  const [all, ...others] = [published, gatewayRecords, cloudRecords].map(formatCount)
  const holds = evidence.differences.length === 0
  const counts = holds
    ? `${all} published = gateway = cloud`
    : `${all} published, ${formatCount(acked)} acked, gateway ${others[0]}, cloud ${others[1]}`
  const rest = `lost ${formatCount(lost)}   twice ${formatCount(twice)}   offsets same ${formatCount(identical)}/${all}`
  return `${holds ? 'PROOF' : 'NO PROOF'}  QoS 2, ${counts}   ${rest}`
}
