// Records what other people's clients and a real Apache Kafka say to each other: makes *.frames.
//
//   node --import tsx test/golden/kafka/capture.ts [open|secured]
//
// A small proxy stands in front of a real broker that advertises the proxy's port. Per client, api
// and version the first and the largest exchange are kept. Java's clients run several times, each
// time with the broker's ApiVersions answer rewritten to lower ceilings, so that they speak their
// older versions too. One line of a .frames file is `apiKey version request|response hex`; a
// response follows its request; the hex is the frame without its size.

import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { encodeResponse, decodeResponse } from '../../../agent/kafka/protocol/frame.ts'
import { FrameAssembler } from '../../../agent/kafka/protocol/frame-assembler.ts'
import * as apiVersions from '../../../agent/kafka/protocol/messages/18-api-versions.ts'
import { KafkaCluster } from '../../support/kafka-cluster.ts'
import { kafkaJars } from '../../support/kafka-jars.ts'
import { requirePeer } from '../../support/peers.ts'
import { freePorts } from '../../support/ports.ts'

const FOLDER = import.meta.dirname
const FRAME_SIZE_KEPT = 6 * 1024
const FRAME_SIZE_MAX = 16 * 1024 * 1024
const ROUNDS = 9
/** The APIs that have a definition here. */
const KEYS = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 32, 36, 37, 60, 61]

interface Exchange {
  apiKey: number
  version: number
  request: Buffer
  response: Buffer
}

/** What one client said, by api and version. */
class Recording {
  readonly #kept = new Map<string, Exchange[]>()

  add(exchange: Exchange): void {
    const { apiKey, version, request, response } = exchange
    if (!KEYS.includes(apiKey)) return
    if (request.length > FRAME_SIZE_KEPT || response.length > FRAME_SIZE_KEPT) return
    const name = `${apiKey} ${version}`
    const [first, largest] = this.#kept.get(name) ?? []
    if (first === undefined) this.#kept.set(name, [exchange])
    else if (sizeOf(exchange) > sizeOf(largest ?? first)) this.#kept.set(name, [first, exchange])
  }

  write(file: string): void {
    const exchanges = [...this.#kept.values()].flat()
    exchanges.sort((a, b) => a.apiKey - b.apiKey || a.version - b.version)
    const lines = exchanges.flatMap(({ apiKey, version, request, response }) => [
      `${apiKey} ${version} request ${request.toString('hex')}\n`,
      `${apiKey} ${version} response ${response.toString('hex')}\n`,
    ])
    writeFileSync(join(FOLDER, file), lines.join(''))
    console.log(`${file}: ${exchanges.length} exchanges`)
  }
}

function sizeOf({ request, response }: Exchange): number {
  return request.length + response.length
}

/** Between client and broker; what passes goes to `recording`, ceilings are lowered by `lower`. */
class Proxy {
  recording = new Recording()
  lower = 0
  readonly #broker: () => number

  constructor(broker: () => number) {
    this.#broker = broker
  }

  listen(port: number): Promise<Server> {
    return new Promise((resolve) => {
      const server = createServer((client) => this.#join(client))
      server.listen(port, '127.0.0.1', () => resolve(server))
    })
  }

  #join(client: Socket): void {
    const broker = connect(this.#broker(), '127.0.0.1')
    const { recording, lower } = this
    const waiting = new Map<number, Buffer>()
    const requests = new FrameAssembler(FRAME_SIZE_MAX)
    const responses = new FrameAssembler(FRAME_SIZE_MAX)
    const end = () => {
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) socket.on('error', end).on('close', end)
    client.on('data', (chunk: Buffer) => {
      requests.push(chunk, (frame) => waiting.set(frame.readInt32BE(4), Buffer.from(frame)))
      broker.write(chunk)
    })
    broker.on('data', (chunk: Buffer) => {
      responses.push(chunk, (frame) => {
        const response = Buffer.from(frame)
        const request = waiting.get(response.readInt32BE(0))
        waiting.delete(response.readInt32BE(0))
        if (request === undefined) throw new Error('a response without a request')
        const [apiKey, version] = [request.readInt16BE(0), request.readInt16BE(2)]
        const isRewritten = apiKey === apiVersions.apiKey && lower > 0
        if (!isRewritten) recording.add({ apiKey, version, request, response })
        for (const buffer of isRewritten ? rewrite(version, response, lower) : [withSize(response)]) {
          client.write(buffer)
        }
      })
    })
  }
}

function withSize(frame: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(frame.length)
  return Buffer.concat([size, frame])
}

/** The same answer with lower ceilings, and without the APIs that newer clients prefer. */
function rewrite(version: number, frame: Buffer, lower: number): Buffer[] {
  if (version > apiVersions.versions[1]) return [withSize(frame)]
  const answer = decodeResponse(apiVersions, version, frame)
  const apiKeys = answer.apiKeys
    .filter(({ apiKey }) => apiKey <= 61)
    .map((range) => ({
      ...range,
      // After SaslHandshake v0 the stream is no sequence of frames any more.
      maxVersion: range.apiKey === 17 ? 1 : Math.max(range.minVersion, range.maxVersion - lower),
    }))
  return encodeResponse(apiVersions, version, frame.readInt32BE(0), { ...answer, apiKeys })
}

function kcat(address: string, args: string[], input = ''): Promise<string> {
  const child = spawn('kcat', ['-b', address, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stdin.end(input)
  return new Promise((resolve) => child.on('close', () => resolve(output)))
}

async function runKcat(address: string): Promise<void> {
  await kcat(address, ['-L'])
  await kcat(address, ['-P', '-t', 'kcat', '-K:', '-H', 'a=b', '-z', 'lz4'], 'k1:v1\nk2:v2\n')
  await kcat(address, ['-P', '-t', 'kcat', '-X', 'enable.idempotence=true'], 'plain\n')
  await kcat(address, ['-C', '-t', 'kcat', '-o', 'beginning', '-e', '-q'])
  await kcat(address, ['-Q', '-t', 'kcat:0:1'])
  const group = ['-X', 'auto.offset.reset=earliest', '-X', 'heartbeat.interval.ms=200']
  await kcat(address, ['-G', 'kcat-group', ...group, '-c', '3', '-q', 'kcat'])
  await kcat(address, ['-G', 'kcat-group', ...group, '-e', '-q', 'kcat'])
}

async function runKafkajs(address: string): Promise<void> {
  const kafka = new Kafka({ brokers: [address], clientId: 'kafkajs', logLevel: logLevel.NOTHING })
  const topic = 'kafkajs'
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] })
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  const messages = [
    { key: 'k', value: 'v', headers: { h: 'x' } },
    { key: null, value: null },
  ]
  await producer.send({ topic, messages })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: 'kafkajs-group', heartbeatInterval: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ eachMessage: async () => {} })
  await new Promise((resolve) => setTimeout(resolve, 2500))
  await admin.describeGroups(['kafkajs-group'])
  await consumer.disconnect()
  await admin.fetchTopicOffsets(topic)
  await admin.fetchTopicOffsetsByTimestamp(topic, 1)
  await admin.fetchOffsets({ groupId: 'kafkajs-group', topics: [topic] })
  await admin.listGroups()
  await admin.describeCluster()
  await admin.describeConfigs({
    includeSynonyms: true,
    resources: [{ type: 2, name: topic }],
  })
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '0' }] })
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

function runScenario(java: string, jars: string, address: string, topic: string): Promise<void> {
  const program = join(FOLDER, 'Scenario.java')
  const child = spawn(java, ['-Xmx512m', '-cp', jars, program, address, topic], {
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  child.stderr.on('data', (chunk) => {
    const lines = String(chunk).split('\n')
    for (const line of lines) if (/^[a-z]+: /.test(line)) console.log(`${topic}: ${line}`)
  })
  return new Promise((resolve) => child.on('close', () => resolve()))
}

async function runTools(kafka: KafkaCluster, address: string): Promise<void> {
  const tools = kafka.tools.at(address)
  const topic = ['--topic', 'cli']
  await tools.kafkaTopics(['--create', ...topic, '--partitions', '2'])
  await tools.consoleProducer(topic, 'one\ntwo\n')
  await tools.consoleConsumer([...topic, '--from-beginning', '--group', 'cli', '--max-messages', '2'])
  await tools.kafkaTopics(['--describe', ...topic])
  await tools.getOffsets(topic)
  const at = ['--bootstrap-server', address]
  const groups = 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand'
  await tools.run(groups, [...at, '--describe', '--group', 'cli'])
  await tools.configs(['--describe', '--entity-type', 'topics', '--entity-name', 'cli'])
  await tools.run('org.apache.kafka.tools.ClusterTool', ['cluster-id', ...at])
  await tools.kafkaTopics(['--delete', ...topic])
}

async function captureOpen(java: string, jars: string): Promise<void> {
  const [port] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  const kafka = await KafkaCluster.create({
    properties: {
      'advertised.listeners': `PLAINTEXT://${address}`,
      'auto.create.topics.enable': 'true',
    },
  })
  if (kafka === undefined) throw new Error('no Kafka')
  const proxy = new Proxy(() => kafka.nodes[0]!.port)
  const server = await proxy.listen(port!)
  try {
    await kafka.start()
    await runKcat(address)
    proxy.recording.write(`kcat-${kcatVersion()}.frames`)
    proxy.recording = new Recording()
    await runKafkajs(address)
    proxy.recording.write('kafkajs-2.2.4.frames')
    proxy.recording = new Recording()
    await runTools(kafka, address)
    proxy.recording.write('kafka-tools-4.1.1.frames')
    proxy.recording = new Recording()
    for (proxy.lower = 0; proxy.lower < ROUNDS; proxy.lower++) {
      await runScenario(java, jars, address, `java-${proxy.lower}`)
    }
    proxy.recording.write('java-clients-4.1.1.frames')
  } finally {
    server.close()
    await kafka.remove()
  }
}

const USERS = 'username="admin" password="admin-secret" user_admin="admin-secret" user_gw="gw-secret"'

async function captureSecured(): Promise<void> {
  const [port] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  const module = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  const kafka = await KafkaCluster.create({
    properties: {
      'advertised.listeners': `PLAINTEXT://${address}`,
      'listener.security.protocol.map': 'PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT',
      'sasl.enabled.mechanisms': 'PLAIN',
      'sasl.mechanism.inter.broker.protocol': 'PLAIN',
      'listener.name.plaintext.plain.sasl.jaas.config': `${module} ${USERS};`,
    },
  })
  if (kafka === undefined) throw new Error('no Kafka')
  const proxy = new Proxy(() => kafka.nodes[0]!.port)
  const server = await proxy.listen(port!)
  try {
    await kafka.nodes[0]!.start()
    const login = (password: string) =>
      ['security.protocol=SASL_PLAINTEXT', 'sasl.mechanism=PLAIN', 'sasl.username=gw']
        .concat(`sasl.password=${password}`)
        .flatMap((setting) => ['-X', setting])
    await kcat(address, [...login('gw-secret'), '-L'])
    await kcat(address, [...login('wrong'), '-L', '-m', '3'])
    proxy.recording.write(`kcat-${kcatVersion()}-sasl.frames`)
    proxy.recording = new Recording()
    const config = join(kafka.folder, 'client.properties')
    const settings = [
      'security.protocol=SASL_PLAINTEXT',
      'sasl.mechanism=PLAIN',
      `sasl.jaas.config=${module} username="gw" password="gw-secret";`,
    ]
    writeFileSync(config, settings.join('\n'))
    const tool = ['cluster-id', '--bootstrap-server', address, '--config', config]
    for (proxy.lower = 0; proxy.lower < 2; proxy.lower++) {
      await kafka.tools.run('org.apache.kafka.tools.ClusterTool', tool)
    }
    proxy.recording.write('kafka-tools-4.1.1-sasl.frames')
  } finally {
    server.close()
    await kafka.remove()
  }
}

function kcatVersion(): string {
  const text = execFileSync('kcat', ['-V'], { encoding: 'utf8' })
  return /Version ([\d.]+)/.exec(text)?.[1] ?? 'unknown'
}

const java = requirePeer('java')
const jars = await kafkaJars()
if (java === undefined || jars === undefined) throw new Error('Java and the Kafka jars are needed')
const part = process.argv[2]
if (part !== 'secured') await captureOpen(java, jars)
if (part !== 'open') await captureSecured()
