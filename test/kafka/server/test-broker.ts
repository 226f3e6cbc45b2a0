// A broker without sockets, over a real log on a simulated disk: requests go in as frames and answers
// come out decoded, so that each test passes through the codecs of its version.

import { Metrics, silentLogger } from '../../../agent/base/telemetry.ts'
import {
  type Api,
  decodeResponse,
  encodeRequest,
  readRequestHeader,
} from '../../../agent/kafka/protocol/frame.ts'
import { Reader } from '../../../agent/kafka/protocol/wire.ts'
import type { Lifetime } from '../../../agent/kafka/server/announcement.ts'
import {
  type Broker,
  type BrokerOptions,
  createBroker,
} from '../../../agent/kafka/server/broker.ts'
import { KAFKA_LISTENER_DEFAULTS } from '../../../agent/kafka/server/listener.ts'
import { ADVERTISED, isFlexible, servedApi } from '../../../agent/kafka/server/registry.ts'
import type { Answer } from '../../../agent/kafka/server/served-api.ts'
import { Log } from '../../../agent/log/log.ts'
import type { LogOptions } from '../../../agent/log/log-options.ts'
import type { PartitionLog } from '../../../agent/log/partition-log.ts'
import type { Codec } from '../../../agent/record/compression.ts'
import {
  type BatchRecord,
  buildBatch,
  type ProducerIdentity,
} from '../../../agent/record/record-batch.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { codecs, kernel } from '../../support/batches.ts'
import { SimFileSystem } from '../../support/sim-file-system.ts'

export const START = Date.UTC(2026, 0, 1)

/** A client that goes away when a test says so. */
export class TestClient implements Lifetime {
  isOver = false
  readonly #runs = new Set<() => void>()

  onOver(run: () => void): () => void {
    this.#runs.add(run)
    return () => this.#runs.delete(run)
  }

  leave(): void {
    this.isOver = true
    for (const run of [...this.#runs]) run()
  }
}

export interface TestOptions {
  settings?: Partial<BrokerOptions>
  log?: Partial<LogOptions>
}

let boots = 0

export class TestBroker {
  readonly broker: Broker
  readonly log: Log
  readonly clock: SimClock
  readonly fs: SimFileSystem
  readonly client = new TestClient()
  readonly #options: TestOptions

  private constructor(log: Log, fs: SimFileSystem, clock: SimClock, options: TestOptions) {
    this.log = log
    this.fs = fs
    this.clock = clock
    this.#options = options
    const settings = {
      ...KAFKA_LISTENER_DEFAULTS,
      clusterId: 'cluster-1',
      topicDefaults: () => ({ partitions: 2, replicated: false }),
      ...options.settings,
    }
    this.broker = createBroker({ ...settings, log, clock }, ADVERTISED)
    // A commit interval counts from the last commit, which was the log's own.
    clock.advance(options.log?.commitIntervalMs === undefined ? 1 : 50)
  }

  static async open(options: TestOptions = {}): Promise<TestBroker> {
    return TestBroker.#start(new SimFileSystem(1), new SimClock(START), options)
  }

  static async #start(fs: SimFileSystem, clock: SimClock, options: TestOptions) {
    boots++
    const opening = Log.open({
      directory: 'store',
      fs,
      kernel,
      clock,
      logger: silentLogger,
      metrics: new Metrics(),
      commitIntervalMs: 0,
      journalBytes: 4 * 1024 * 1024,
      lock: { pid: 1, startOf: async () => String(boots) },
      ...options.log,
    })
    let isOpen = false
    opening.finally(() => (isOpen = true)).catch(() => {})
    // Its own commits keep to the interval as well.
    while (options.log?.commitIntervalMs !== undefined && !isOpen) {
      clock.advance(50)
      await settle()
    }
    return new TestBroker(await opening, fs, clock, options)
  }

  /** The power goes; the next start finds what the disk kept. The wall clock may have jumped. */
  async crash(wallJumpMs = 0): Promise<TestBroker> {
    const fs = this.fs.crash()
    this.clock.forget()
    for (let turn = 0; turn < 500; turn++) await undefined
    const clock = new SimClock(this.clock.now() + wallJumpMs)
    return TestBroker.#start(fs, clock, this.#options)
  }

  /** Everything appended so far is durable, whatever the commit interval. */
  async committed(): Promise<void> {
    let isDone = false
    this.log.durable(this.log.openCommit).then(() => {
      isDone = true
    })
    while (!isDone) {
      this.clock.advance(50)
      await settle()
    }
  }

  async topic(name: string, partitions = 1): Promise<PartitionLog> {
    const topic = await this.log.createTopic(name, { partitions, replicated: false })
    return topic.partitions[0]!
  }

  /** Sends a request and decodes the answer, as a client on a connection would. */
  async ask<RequestOut, RequestIn, ResponseOut, ResponseIn>(
    api: Api<RequestOut, RequestIn, ResponseOut, ResponseIn>,
    version: number,
    request: RequestIn,
  ): Promise<ResponseOut> {
    const answer = await this.answerTo(api, version, request)
    if (answer.kind !== 'now' && answer.kind !== 'later') throw new Error(`it is ${answer.kind}`)
    return decodeAnswer(api, version, await answer.response)
  }

  answerTo<RequestIn>(
    api: Api<unknown, RequestIn, unknown, never> | Api<never, RequestIn, never, never>,
    version: number,
    request: RequestIn,
  ): Promise<Answer<Buffer[]>> {
    const header = { apiVersion: version, correlationId: 7, clientId: 'test' }
    const frame = Buffer.concat(encodeRequest(api as never, header, request)).subarray(4)
    return this.answerFrame(frame)
  }

  async answerFrame(frame: Buffer): Promise<Answer<Buffer[]>> {
    const reader = new Reader(frame)
    const { apiKey, apiVersion, correlationId, clientId } = readRequestHeader(reader, isFlexible)
    return servedApi(apiKey)!.answer(reader, correlationId, {
      broker: this.broker,
      version: apiVersion,
      clientId,
      client: this.client,
      localAddress: { host: '10.0.0.7', port: 9092 },
    })
  }

  async close(): Promise<void> {
    this.broker.commits.close()
    this.broker.room.close()
    this.broker.producers.close()
    await this.log.close()
  }
}

/** Lets everything go on that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 300; turn++) await undefined
}

export function decodeAnswer<Out>(
  api: { apiKey: number; response: Api<unknown, unknown, Out, never>['response'] },
  version: number,
  buffers: Buffer[],
): Out {
  const frame = Buffer.concat(buffers)
  if (frame.readInt32BE(0) !== frame.length - 4) throw new Error('a frame of another size')
  if (frame.readInt32BE(4) !== 7) throw new Error('an answer to another request')
  return decodeResponse(api, version, frame.subarray(4))
}

/** A batch as a producer sends it: values `from`, `from + 1`, … */
export function producerBatch(
  values: readonly string[],
  options: {
    producer?: ProducerIdentity
    codec?: Codec
    timestamp?: number
    record?: Partial<BatchRecord>
  } = {},
): Buffer {
  const { producer, codec = 0, timestamp = START, record = {} } = options
  const records = values.map((value, index) => ({
    timestamp: timestamp + index,
    key: null,
    value: Buffer.from(value),
    ...record,
  }))
  const batch = buildBatch(records, { codecs, codec, ...(producer && { producer }) })
  batch.writeInt32BE(-1, 12)
  return batch
}

/** The same with a producer: its epoch 0 unless said otherwise. */
export function sequenced(
  producerId: bigint,
  baseSequence: number,
  values: readonly string[],
  producerEpoch = 0,
  timestamp = START,
): Buffer {
  return producerBatch(values, {
    producer: { producerId, producerEpoch, baseSequence },
    timestamp,
  })
}
