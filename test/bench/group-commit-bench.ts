// Group commit: the same records in groups of the same size, each durable before the next begins,
// into Tributary's log (in process), SQLite (WAL, synchronous=FULL, in process) and Apache Kafka with
// log.flush.interval.messages=1 (its producer sends a batch of that size and waits; the broker's
// processor time alone is counted, network and protocol included). One ext4 on a loop device.

import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { LoopDisk } from '../support/loop-disk.ts'
import { median, usageOf } from './process-usage.ts'
import { type AppendReport, appendToSqlite } from './sqlite.ts'
import { markdownTable, plain } from './table.ts'

export interface GroupCommitBenchOptions {
  seconds: number
  rounds: number
}

interface Sample {
  recordsPerSecond: number
  cpuMicros: number
  /** Device bytes for each byte of payload. */
  device: number
}

type Engine = 'Tributary' | 'SQLite' | 'Kafka'

const ENGINES: readonly Engine[] = ['Tributary', 'SQLite', 'Kafka']
const PAYLOAD_BYTES = 128
const DISK_MB = 2048
/** Records a commit, and how many of them make about a second on a disk of half a millisecond. */
const GROUPS = [
  { group: 1, perSecond: 1_000 },
  { group: 10, perSecond: 10_000 },
  { group: 100, perSecond: 50_000 },
  { group: 1_000, perSecond: 100_000 },
] as const

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchGroupCommit(options: GroupCommitBenchOptions): Promise<number> {
  const { seconds, rounds } = options
  const disk = await LoopDisk.mount({ sizeMb: DISK_MB })
  if (disk === undefined) {
    console.log('skipped: mounting a loop device is not allowed here (it wants root)')
    return 0
  }
  const samples = new Map<string, Sample[]>()
  const kafka = await KafkaPeer.start(disk)
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const { group, perSecond } of GROUPS) {
        const messages = Math.round(perSecond * seconds)
        for (const engine of ENGINES) {
          const sample = await measure({ engine, disk, kafka, messages, group })
          if (sample === undefined) continue
          const key = `${engine}|${group}`
          samples.set(key, [...(samples.get(key) ?? []), sample])
          console.error(`round ${round}  groups of ${group}  ${engine}  ${sampleText(sample)}`)
        }
      }
    }
  } finally {
    await kafka?.remove()
    await disk.remove()
  }
  return print(samples, rounds)
}

interface Run {
  engine: Engine
  disk: LoopDisk
  kafka: KafkaPeer | undefined
  messages: number
  group: number
}

async function measure({ engine, disk, kafka, messages, group }: Run): Promise<Sample | undefined> {
  const append = (count: number): Promise<AppendReport | undefined> => {
    if (engine === 'Kafka') return kafka?.append(count, group) ?? Promise.resolve(undefined)
    if (engine === 'SQLite') return appendToSqlite(disk, 'store', { messages: count, group })
    return appendToLog(disk.path('store'), count, group)
  }
  // The files that an engine keeps are there before anything is counted.
  await append(group)
  const before = await disk.writtenBytes()
  const report = await append(messages)
  const written = (await disk.writtenBytes()) - before
  rmSync(disk.path('store'), { recursive: true, force: true })
  if (report === undefined) return undefined
  return {
    recordsPerSecond: messages / report.seconds,
    cpuMicros: (report.cpuSeconds * 1e6) / messages,
    device: written / (messages * PAYLOAD_BYTES),
  }
}

async function appendToLog(folder: string, messages: number, group: number): Promise<AppendReport> {
  const script = join(import.meta.dirname, 'log-appends.ts')
  const args = ['--import', 'tsx', script, folder, String(messages), String(group)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as AppendReport
}

/** A broker on the disk that syncs after every batch. */
class KafkaPeer {
  readonly #cluster: KafkaCluster
  readonly #payloads: string
  #topics = 0

  private constructor(cluster: KafkaCluster, payloads: string) {
    this.#cluster = cluster
    this.#payloads = payloads
  }

  static async start(disk: LoopDisk): Promise<KafkaPeer | undefined> {
    const usual = process.env.TMPDIR
    process.env.TMPDIR = disk.path()
    const properties = { 'log.flush.interval.messages': 1 }
    const cluster = await KafkaCluster.create({ properties })
    if (usual === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = usual
    if (cluster === undefined) return undefined
    const payloads = disk.path('payloads')
    const line = (order: number) =>
      `{"device":"dev${String(order % 200).padStart(4, '0')}","seq":${10_000_000 + order * 7919},"temperature":21.${1000 + ((order * 977) % 9000)}}`
    const lines = Array.from({ length: 5000 }, (_, order) =>
      line(order).padEnd(PAYLOAD_BYTES, ' celsius,percent'),
    )
    writeFileSync(payloads, lines.join('\n'))
    await cluster.start()
    const peer = new KafkaPeer(cluster, payloads)
    // Its machine code is made while it runs.
    await peer.append(20_000, 10)
    return peer
  }

  async append(messages: number, group: number): Promise<AppendReport> {
    const { tools } = this.#cluster
    const pid = this.#cluster.nodes[0]!.pid!
    const topic = `bench-${this.#topics++}`
    await tools.kafkaTopics(['--create', '--topic', topic, '--partitions', '1'])
    const properties = {
      'bootstrap.servers': this.#cluster.bootstrapServers,
      acks: '1',
      // A batch is sent when the next record does not fit any more.
      'batch.size': String(61 + group * (PAYLOAD_BYTES + 9)),
      'linger.ms': '1000',
      'max.in.flight.requests.per.connection': '1',
      'enable.idempotence': 'false',
    }
    const before = usageOf(pid).cpuSeconds
    const result = await tools.run('org.apache.kafka.tools.ProducerPerformance', [
      ...['--topic', topic, '--num-records', String(messages), '--throughput', '-1'],
      ...['--payload-file', this.#payloads],
      ...['--producer-props', ...Object.entries(properties).map((pair) => pair.join('='))],
    ])
    const cpuSeconds = usageOf(pid).cpuSeconds - before
    const perSecond = Number(/, ([\d.]+) records\/sec/.exec(lastLine(result.stdout))?.[1])
    if (!(perSecond > 0)) throw new Error(`no result: ${result.stdout}${result.stderr}`)
    return { seconds: messages / perSecond, cpuSeconds, commits: Math.ceil(messages / group) }
  }

  remove(): Promise<void> {
    return this.#cluster.remove()
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}

function sampleText({ recordsPerSecond, cpuMicros, device }: Sample): string {
  return `${plain(recordsPerSecond)}/s  ${cpuMicros.toFixed(1)} µs  ${device.toFixed(2)} device bytes`
}

function print(samples: ReadonlyMap<string, readonly Sample[]>, rounds: number): number {
  let missed = 0
  const middle = (engine: Engine, group: number, key: keyof Sample) =>
    median((samples.get(`${engine}|${group}`) ?? []).map((sample) => sample[key]))
  const rows = GROUPS.map(({ group }) => {
    const cells = ENGINES.map((engine) => {
      const of = (key: keyof Sample) => middle(engine, group, key)
      if (Number.isNaN(of('device'))) return '–'
      return `${plain(of('recordsPerSecond'))}, ${of('cpuMicros').toFixed(1)}, ${of('device').toFixed(2)}`
    })
    const behind = (['SQLite', 'Kafka'] as const).filter((peer) =>
      (['cpuMicros', 'device'] as const).some(
        (key) => middle('Tributary', group, key) > middle(peer, group, key),
      ),
    )
    missed += behind.length
    return [
      String(group),
      ...cells,
      behind.length === 0 ? 'met' : `**missed** (${behind.join(', ')})`,
    ]
  })
  const what = 'records a commit: records/s, CPU µs per record, device bytes per payload byte'
  console.log(
    `\nMedians of ${rounds} rounds, 128-byte JSON; floor: ahead of both in CPU and bytes.\n`,
  )
  console.log(markdownTable([what, ...ENGINES, ''], rows))
  return missed
}
