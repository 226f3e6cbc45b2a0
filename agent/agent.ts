// The composition root: the only file that knows every part.
//
//   open   log → Kafka listener → MQTT listeners → replicator → admin
//   close  MQTT and Kafka stop taking and send the acks they owe → nobody waits for a full disk any
//          more → replicator → log → admin
//
// Whatever fails on the way up closes what is open already.

import { Kernel } from '../wasm/kernel.ts'
import { HttpListener } from './admin/http-listener.ts'
import { registerProcessMetrics } from './admin/process-metrics.ts'
import { StatusReporter } from './admin/status.ts'
import { registerStatusMetrics } from './admin/status-metrics.ts'
import type { Clock } from './base/clock.ts'
import { AgentError } from './base/errors.ts'
import type { Logger, Metrics } from './base/telemetry.ts'
import { VERSION } from './cli/version.ts'
import { formatHostPort, parseHostPort, parseMqttAddress } from './config/listen-address.ts'
import { readProfiles } from './config/part-checks.ts'
import type { Config, UpstreamConfig } from './config/schema.ts'
import { knownTopicSettings, topicSettings } from './config/topic-settings.ts'
import { upstreamConnection } from './config/upstream-connection.ts'
import { MqttListener } from './ingest/mqtt-listener.ts'
import { KafkaListener } from './kafka/server/listener.ts'
import { Log } from './log/log.ts'
import { Replicator } from './replication/replicator.ts'
import { statusParts } from './status-parts.ts'
import { storeFault } from './store-fault.ts'
import { systemSynchronized } from './system-clock.ts'
import { YoungHeap } from './young-heap.ts'

export interface AgentDeps {
  logger: Logger
  metrics: Metrics
  clock: Clock
}

/** Bytes of a batch beside the payload of its one record. */
const BATCH_OVERHEAD_BYTES = 64 * 1024
/** Kept on the disk for its end, its start and what frees space. */
const RESERVE_BYTES = 4 * 1024 * 1024

/** A running gateway. */
export interface Agent {
  /** URLs and host:port of every listener, admin aside. */
  readonly addresses: readonly string[]
  readonly admin: string | undefined
  /** Resolves when only a restart helps. */
  readonly failed: Promise<Error>
  close(): Promise<void>
}

/** Everything listens when it resolves. Faults are AgentErrors that name the key to change. */
export async function startAgent(config: Config, deps: AgentDeps): Promise<Agent> {
  const opened: { close(): Promise<void> }[] = []
  const keep = <T extends { close(): Promise<void> }>(part: T): T => {
    opened.push(part)
    return part
  }
  const close = async () => {
    for (const part of opened.splice(0).reverse()) await part.close()
  }
  try {
    return await open(config, deps, keep, close)
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

async function open(
  config: Config,
  deps: AgentDeps,
  keep: <T extends { close(): Promise<void> }>(part: T) => T,
  close: () => Promise<void>,
): Promise<Agent> {
  const { logger, metrics, clock } = deps
  registerProcessMetrics(metrics, VERSION, clock.now)
  keep(new YoungHeap(clock))
  let fail = (_: Error) => {}
  const failed = new Promise<Error>((resolve) => {
    fail = resolve
  })
  const log = keep(await openLog(config, deps, fail))
  growTopics(config, log, logger)
  const replicator = config.upstream && (await createReplicator(config, config.upstream, log, deps))
  if (replicator !== undefined) keep(replicator)
  keep({ close: async () => log.end() })
  const kafka = keep(await openKafka(config, log, deps))
  const mqtt = keep(await openMqtt(config, log, deps))
  replicator?.start()
  const parts = statusParts({ config, log, mqtt, kafka, replicator, version: VERSION })
  registerStatusMetrics(metrics, parts)
  const reporter = new StatusReporter(parts, clock)
  const admin = await HttpListener.listen({
    addresses: config.admin.listeners.map((address) => parseHostPort(address)!),
    status: () => reporter.status(),
    ready: parts.ready,
    metrics,
    logger,
  })
  const addresses = [...mqtt.addresses, ...kafka.addresses.map(formatHostPort)]
  return {
    addresses,
    admin: admin.addresses[0],
    failed,
    async close() {
      reporter.close()
      // What could not be written is told by whoever ends the process, with nothing left open.
      await close().finally(() => admin.close())
    },
  }
}

function openLog(
  config: Config,
  { logger, metrics, clock }: AgentDeps,
  failed: (failure: Error) => void,
): Promise<Log> {
  const { storage } = config
  const budget = storage.diskBudget
  const kernel = new Kernel()
  kernel.warmUp()
  return Log.open({
    directory: config.dataDir,
    kernel,
    clock,
    logger,
    metrics,
    gateway: config.gateway,
    batchBytes: storage.batchBytes,
    segmentBytes: storage.segmentBytes,
    commitIntervalMs: storage.commitInterval,
    healWindowMs: storage.healWindow,
    systemSynchronized,
    failed,
    disk: {
      budgetBytes: 'bytes' in budget ? budget.bytes : undefined,
      budgetShare: 'bytes' in budget ? undefined : budget.percent / 100,
      keepFreeBytes: storage.keepFree,
      reserveBytes: RESERVE_BYTES,
    },
  }).catch((error: unknown) => {
    throw storeFault(error, config.dataDir)
  })
}

/** Applies to known topics what the file says now, but for what Kafka clients have set. */
function growTopics(config: Config, log: Log, logger: Logger): void {
  for (const topic of log.topics()) {
    const wanted = knownTopicSettings(config, topic.name, topic.settings)
    const have = topic.partitions.length
    const isNamed = Object.keys(config.topics).some(
      (name) => name === topic.name || `${config.topicPrefix}${name}` === topic.name,
    )
    if (isNamed && wanted.partitions < have) {
      const message = `${topic.name} has ${have} partitions; Kafka cannot remove any. Use a new topic`
      throw new AgentError('INPUT_CONFIG', message)
    }
    if (isNamed && wanted.partitions > have) {
      logger.warn(`${topic.name} grows from ${have} to ${wanted.partitions} partitions: keys move`)
      log.addPartitions(topic.name, wanted.partitions).catch((error) => logger.error(String(error)))
    }
    const { partitions: _, ...settings } = wanted
    const { partitions: __, ...before } = topic.settings
    if (JSON.stringify(settings) === JSON.stringify(before)) continue
    log.alterTopic(topic.name, settings).catch((error) => logger.error(String(error)))
  }
}

async function openMqtt(config: Config, log: Log, deps: AgentDeps): Promise<MqttListener> {
  const { mqtt, topicPrefix, gateway = '' } = config
  const profiles = await readProfiles(config, (_, sentence) => {
    throw new AgentError('INPUT_CONFIG', sentence)
  })
  return MqttListener.open({
    ...deps,
    log,
    gateway,
    topicPrefix,
    routes: config.routes,
    profiles,
    deadLetter: config.deadLetter,
    unrouted: config.unrouted,
    maxTopics: config.maxTopics,
    topicSettings: (short) => topicSettings(config, `${topicPrefix}${short}`),
    listeners: mqtt.listeners.map((address) => parseMqttAddress(address)!),
    allowAnonymous: mqtt.allowAnonymous,
    usersFile: mqtt.usersFile,
    tls: mqtt.tls,
    maxConnections: mqtt.maxConnections,
    maxPacketSize: mqtt.maxPacketSize,
  })
}

function openKafka(config: Config, log: Log, deps: AgentDeps): Promise<KafkaListener> {
  const { listeners, advertised, autoCreateTopics } = config.kafka
  return KafkaListener.listen({
    ...deps,
    log,
    clusterId: log.lineage,
    topicDefaults: (name) => topicSettings(config, name),
    listeners: listeners.map((address) => parseHostPort(address)!),
    advertised: advertised === 'auto' ? 'auto' : parseHostPort(advertised)!,
    autoCreateTopics,
    topicsMax: config.maxTopics,
  })
}

async function createReplicator(
  config: Config,
  upstream: UpstreamConfig,
  log: Log,
  deps: AgentDeps,
): Promise<Replicator> {
  const { createTopics, replicationFactor, linger, maxBytesPerSecond } = upstream
  return new Replicator({
    ...deps,
    ...(await upstreamConnection(upstream)),
    log,
    createTopics,
    replicationFactor,
    lingerMs: linger,
    maxBytesPerSecond,
    batchBytesMax: Math.max(
      config.storage.batchBytes,
      config.mqtt.maxPacketSize + BATCH_OVERHEAD_BYTES,
    ),
  })
}
