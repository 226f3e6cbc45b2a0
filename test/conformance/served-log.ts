// A log in a temporary folder of the real file system behind a Kafka listener, for other people's
// clients; and running such a client as a child process.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../agent/base/clock.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { KafkaListener } from '../../agent/kafka/server/listener.ts'
import { Log } from '../../agent/log/log.ts'
import { decodeRecords, readBatchHeader } from '../../agent/record/record-batch.ts'

export interface StoredRecord {
  offset: number
  key: string | null
  value: string | null
  headers: string[]
}

export class ServedLog {
  readonly log: Log
  readonly address: string
  readonly #listener: KafkaListener
  readonly #directory: string

  private constructor(log: Log, listener: KafkaListener, directory: string) {
    this.log = log
    this.#listener = listener
    this.#directory = directory
    const { host, port } = listener.addresses[0]!
    this.address = `${host}:${port}`
  }

  static async start(): Promise<ServedLog> {
    const directory = mkdtempSync(join(tmpdir(), 'tributary-conformance-'))
    const common = { clock: systemClock, logger: silentLogger, metrics: new Metrics() }
    const log = await Log.open({ ...common, directory })
    const listener = await KafkaListener.listen({
      ...common,
      log,
      clusterId: log.lineage,
      topicDefaults: () => ({ partitions: 2, replicated: false }),
      listeners: [{ host: '127.0.0.1', port: 0 }],
    })
    return new ServedLog(log, listener, directory)
  }

  createTopic(name: string, partitions: number): Promise<unknown> {
    return this.log.createTopic(name, { partitions, replicated: false })
  }

  /** Everything a partition holds, read past the protocol. */
  async records(topic: string, partition = 0): Promise<StoredRecord[]> {
    const log = this.log.topic(topic)!.partitions[partition]!
    const found: StoredRecord[] = []
    for (let offset = log.logStartOffset; offset < log.highWatermark; ) {
      const read = await log.read(offset, 1 << 20)
      if (read.kind !== 'batches') throw new Error(`${log.name} at ${offset}: ${read.kind}`)
      for (let at = 0; at < read.bytes.length; ) {
        const batch = read.bytes.subarray(at)
        for (const record of decodeRecords(batch, this.log.codecs)) {
          found.push({
            offset: record.offset,
            key: record.key?.toString() ?? null,
            value: record.value?.toString() ?? null,
            headers: record.headers.map(([key, value]) => `${key}=${value}`),
          })
        }
        at += readBatchHeader(batch).size
      }
      offset = read.nextOffset
    }
    return found
  }

  /** Tails become segments: clients must not see a difference. */
  async seal(): Promise<void> {
    for (const { partitions } of this.log.topics()) {
      for (const partition of partitions) await partition.seal()
    }
  }

  async stop(): Promise<void> {
    await this.#listener.close()
    await this.log.close()
    rmSync(this.#directory, { recursive: true })
  }
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export function run(program: string, args: string[], input = '', limitMs = 20_000): Promise<Ended> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const ended: Ended = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    ended.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    ended.stderr += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ ...ended, code })
    })
  })
}
