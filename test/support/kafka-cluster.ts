// A real Apache Kafka in KRaft mode on loopback, in a temporary folder: one combined node, or three.
//
//   const kafka = await KafkaCluster.create({ nodes: 1 })   // undefined: no Java or no jars, said
//   await kafka.start()  …  await kafka.kill()  await kafka.restart()  …  await kafka.remove()
//
// A node is ready when this launch's part of its log says so and its port accepts; the cluster,
// when its metadata lists every node. Every JVM of ours dies with the process that started it.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaFolder, kafkaJars } from './kafka-jars.ts'
import { JVM_OPTIONS, KafkaTools } from './kafka-tools.ts'
import { requirePeer } from './peers.ts'
import { freePorts, portAccepts, waitUntil } from './ports.ts'

export interface KafkaClusterOptions {
  nodes?: 1 | 3
  /** Broker properties over the defaults below, such as `producer.id.expiration.ms`. */
  properties?: Record<string, string | number>
  /** Beside the plain one that the harness uses, such as `SASL_SSL://127.0.0.1:15001`; one node only. */
  listeners?: readonly string[]
  /** Users that exist from the start, as `SCRAM-SHA-256=[name=ann,password=secret]`. */
  scram?: readonly string[]
}

const START_LIMIT_MS = 90_000
const STOP_LIMIT_MS = 20_000

/** Small and quick; the registration of a killed broker expires in 2 s instead of 9. */
const TEST_PROPERTIES: Record<string, string | number> = {
  'auto.create.topics.enable': 'false',
  'offsets.topic.num.partitions': 1,
  'transaction.state.log.num.partitions': 1,
  'transaction.state.log.min.isr': 1,
  'group.initial.rebalance.delay.ms': 0,
  'controller.quorum.election.timeout.ms': 500,
  'controller.quorum.fetch.timeout.ms': 1000,
  'replica.lag.time.max.ms': 5000,
  'broker.session.timeout.ms': 2000,
  'broker.heartbeat.interval.ms': 500,
}

interface Jvm {
  java: string
  classPath: string
}

const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** One combined broker and controller. */
export class KafkaNode {
  readonly id: number
  readonly port: number
  readonly folder: string
  readonly #jvm: Jvm
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  constructor(id: number, port: number, folder: string, jvm: Jvm) {
    this.id = id
    this.port = port
    this.folder = folder
    this.#jvm = jvm
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get logFile(): string {
    return join(this.folder, 'kafka.log')
  }

  /** The folder of a partition's segment files on this node. */
  partitionFolder(topic: string, partition: number): string {
    return join(this.folder, 'data', `${topic}-${partition}`)
  }

  /** Resolves when the node has said that it started and its port accepts. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`Kafka node ${this.id} runs already`)
    const from = existsSync(this.logFile) ? statSync(this.logFile).size : 0
    const archive = classDataArchive(this.#jvm.java)
    const child = spawn(
      this.#jvm.java,
      [
        ...JVM_OPTIONS,
        archive.option,
        `-Dlog4j2.configurationFile=${join(this.folder, 'log4j2.yaml')}`,
        '-cp',
        this.#jvm.classPath,
        'kafka.Kafka',
        join(this.folder, 'server.properties'),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: this.folder },
    )
    let stderr = ''
    child.stderr?.on('data', (text) => (stderr = `${stderr}${text}`.slice(-4000)))
    this.#child = child
    alive.add(child)
    this.#ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        alive.delete(child)
        if (this.#child === child) this.#child = undefined
        archive.finish(signal !== 'SIGKILL' && code !== null)
        resolve()
      })
    })
    await waitUntil(`Kafka node ${this.id} starts (${this.logFile})`, START_LIMIT_MS, async () => {
      if (this.#child !== child)
        throw new Error(`Kafka node ${this.id} ended: ${stderr}${this.log(from)}`)
      return this.log(from).includes('Kafka Server started') && (await portAccepts(this.port))
    })
  }

  /** What the node has logged from this position on; at most the last 64 KiB. */
  log(from = 0): string {
    if (!existsSync(this.logFile)) return ''
    return readFileSync(this.logFile).subarray(from).subarray(-65_536).toString()
  }

  /** SIGTERM: a controlled shut-down; kills after a limit. */
  async stop(): Promise<void> {
    const child = this.#child
    child?.kill('SIGTERM')
    const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_LIMIT_MS)
    await this.#ended
    clearTimeout(timer)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** Freezes and thaws the process, as a stalled machine would be. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }
}

export class KafkaCluster {
  readonly folder: string
  readonly nodes: readonly KafkaNode[]
  readonly tools: KafkaTools

  private constructor(folder: string, nodes: readonly KafkaNode[], jvm: Jvm) {
    this.folder = folder
    this.nodes = nodes
    this.tools = new KafkaTools(jvm.java, jvm.classPath, this.bootstrapServers)
  }

  /** A formatted cluster that does not run yet; undefined after one line when Kafka is missing. */
  static async create(options: KafkaClusterOptions = {}): Promise<KafkaCluster | undefined> {
    const classPath = await kafkaJars()
    const java = requirePeer('java')
    if (classPath === undefined || java === undefined) return undefined
    const jvm = { java, classPath }
    const count = options.nodes ?? 1
    const folder = mkdtempSync(join(tmpdir(), 'tributary-kafka-'))
    const ports = await freePorts(2 * count)
    const voters = ports.slice(count).map((port, index) => `${index + 1}@127.0.0.1:${port}`)
    const nodes = voters.map(
      (_, index) => new KafkaNode(index + 1, ports[index]!, join(folder, `node-${index + 1}`), jvm),
    )
    const tools = new KafkaTools(java, classPath)
    await Promise.all(
      nodes.map((node, index) => {
        writeNodeFiles(node, ports[count + index]!, voters, options)
        return format(node, tools, options.scram ?? [])
      }),
    )
    return new KafkaCluster(folder, nodes, jvm)
  }

  get bootstrapServers(): string {
    return this.nodes.map((node) => `127.0.0.1:${node.port}`).join(',')
  }

  /** Resolves when every node is up and known to the cluster. */
  async start(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start()))
    await waitUntil('every Kafka node is in the metadata', START_LIMIT_MS, async () => {
      const counts = await Promise.all(this.nodes.map((node) => brokersKnownTo(node.port)))
      return counts.every((count) => count === this.nodes.length)
    })
  }

  /** SIGTERM to all at once: one after the other, the last would wait for a quorum. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }

  /** kill -9 of every node. */
  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()))
  }

  /** Starts again what was stopped or killed, or stops first what runs; the data stays. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** Ends the nodes at once and deletes their data. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  kafkaTopics: KafkaTools['kafkaTopics'] = (args) => this.tools.kafkaTopics(args)
  getOffsets: KafkaTools['getOffsets'] = (args) => this.tools.getOffsets(args)
  consoleConsumer: KafkaTools['consoleConsumer'] = (...args) => this.tools.consoleConsumer(...args)
  consoleProducer: KafkaTools['consoleProducer'] = (...args) => this.tools.consoleProducer(...args)
  dumpLog: KafkaTools['dumpLog'] = (...args) => this.tools.dumpLog(...args)
}

function writeNodeFiles(
  node: KafkaNode,
  controllerPort: number,
  voters: string[],
  { properties, listeners = [] }: KafkaClusterOptions,
): void {
  const plain = `PLAINTEXT://127.0.0.1:${node.port}`
  const controller = `CONTROLLER://127.0.0.1:${controllerPort}`
  const all: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': node.id,
    'controller.quorum.voters': voters.join(','),
    listeners: [plain, controller, ...listeners].join(','),
    'advertised.listeners': [plain, ...listeners].join(','),
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': ['PLAINTEXT', 'SSL', 'SASL_SSL', 'SASL_PLAINTEXT']
      .map((name) => `${name}:${name}`)
      .concat('CONTROLLER:PLAINTEXT')
      .join(','),
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(node.folder, 'data'),
    'default.replication.factor': voters.length,
    'offsets.topic.replication.factor': voters.length,
    'transaction.state.log.replication.factor': voters.length,
    ...TEST_PROPERTIES,
    ...properties,
  }
  mkdirSync(node.folder, { recursive: true })
  const lines = Object.entries(all).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(node.folder, 'server.properties'), lines.join(''))
  writeFileSync(
    join(node.folder, 'log4j2.yaml'),
    `Configuration:
  status: error
  Appenders:
    File:
      name: file
      fileName: ${node.logFile}
      PatternLayout: { pattern: '%d %p %m (%c)%n' }
  Loggers:
    Root: { level: info, AppenderRef: { ref: file } }
`,
  )
}

/** Any 16 bytes are a cluster id; a fixed one lets the nodes be formatted side by side. */
const CLUSTER_ID = Buffer.from('tributary-tests!').toString('base64url')

async function format(node: KafkaNode, tools: KafkaTools, scram: readonly string[]): Promise<void> {
  const config = join(node.folder, 'server.properties')
  const result = await tools.run('kafka.tools.StorageTool', [
    'format',
    '-t',
    CLUSTER_ID,
    '-c',
    config,
    ...scram.flatMap((user) => ['-S', user]),
  ])
  if (result.code !== 0) throw new Error(`kafka-storage format: ${result.stderr}${result.stdout}`)
}

/** Uses the JVM's class data archive, or has this launch write it at a clean end (saves a third). */
function classDataArchive(java: string): { option: string; finish: (clean: boolean) => void } {
  const real = realpathSync(java)
  const jvm = createHash('sha256')
    .update(`${real} ${statSync(real).mtimeMs}`)
    .digest('hex')
  const path = join(kafkaFolder(), `broker-${jvm.slice(0, 12)}.jsa`)
  if (existsSync(path)) return { option: `-XX:SharedArchiveFile=${path}`, finish: () => {} }
  const fresh = `${path}.${process.pid}-${Date.now()}`
  return {
    option: `-XX:ArchiveClassesAtExit=${fresh}`,
    finish: (clean) => {
      if (!existsSync(fresh)) return
      if (clean) renameSync(fresh, path)
      else rmSync(fresh, { force: true })
    },
  }
}

/** Metadata v1 for no topic, by hand: how many live brokers this one lists; 0 when it is not up. */
function brokersKnownTo(port: number): Promise<number> {
  const request = Buffer.from(
    '0000000e' + '0003' + '0001' + '00000001' + 'ffff' + '00000000',
    'hex',
  )
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answer = Buffer.alloc(0)
    socket.setTimeout(2000, () => socket.destroy())
    socket.on('connect', () => socket.write(request))
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length >= 12 && answer.length >= 4 + answer.readInt32BE(0)) socket.destroy()
    })
    socket.on('close', () => resolve(answer.length >= 12 ? answer.readInt32BE(8) : 0))
  })
}
