// Every configuration key: its kind, default and meaning. Parsing, environment names, `config show`,
// the file of `init` and the type `Config` all follow from this one table.
//
// Durations are milliseconds and sizes bytes once read; paths are absolute.

import { parseHostPort, parseMqttAddress } from './listen-address.ts'
import {
  autoOr,
  budget,
  choice,
  dictionary,
  directoryPath,
  duration,
  filePath,
  flag,
  integer,
  list,
  optionalSection,
  required,
  type ScalarType,
  secretText,
  section,
  sections,
  setting,
  size,
  text,
  unset,
  type Value,
} from './setting.ts'

const hostPort: ScalarType<string> = {
  expected: 'host:port',
  read: (value) => (parseHostPort(value) === undefined ? undefined : { value }),
  show: String,
}

const mqttUrl: ScalarType<string> = {
  expected: 'an address such as mqtt://127.0.0.1:1883 (mqtt, mqtts, ws or wss)',
  read: (value) => (parseMqttAddress(value) === undefined ? undefined : { value }),
  show: String,
}

/** Letters that Kafka allows in a topic's name. */
export const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/

const topicName: ScalarType<string> = {
  expected: 'a topic name: letters, digits, ".", "_" and "-"',
  read: (value) => (TOPIC_NAME.test(value) ? { value } : undefined),
  show: String,
}

const gatewayName: ScalarType<string> = {
  expected: 'a name of letters, digits, ".", "_" and "-", at most 100',
  read: (value) => (/^[A-Za-z0-9._-]{1,100}$/.test(value) ? { value } : undefined),
  show: String,
}

const compression = choice('auto', 'zstd', 'lz4', 'none')
const partitions = integer(1, 1000)
const retentionTime = duration('1m', '36500d')
const retentionBytes = size('1MiB', '64TiB')
const whenFull = choice('block', 'dropOldest')

const mqtt = section('The MQTT front.', {
  listeners: list(
    mqttUrl,
    ['mqtt://127.0.0.1:1883'],
    'mqtt:// (= tcp://) mqtts:// ws:// wss://; one that is not loopback needs usersFile, or allowAnonymous: true',
  ),
  allowAnonymous: unset(flag, 'on loopback true, else false'),
  usersFile: unset(filePath, 'mosquitto_passwd format ($7$, PBKDF2)'),
  tls: section('For mqtts:// and wss:// listeners.', {
    certFile: unset(filePath, 'PEM'),
    keyFile: unset(filePath, 'PEM'),
    clientCaFile: unset(filePath, 'PEM; when set, clients must show a certificate signed by it'),
  }),
  aclFile: unset(filePath, 'mosquitto syntax; not in this version', { later: 'all' }),
  maxConnections: setting(integer(1, 100_000), '1000', 'further clients are refused'),
  maxPacketSize: setting(
    size('1KiB', '704KiB'),
    '512KiB',
    "must fit the mirror's max.message.bytes: checked at connect",
  ),
})

const routes = sections(
  'The first match wins; a shadowed route is an error. No routes: everything to topic mqtt.',
  {
    mqttTopic: required(text, '{name} = one level, {name...} = the rest; + and # work too'),
    topic: required(text, 'may use {names}; characters Kafka forbids become _; at most maxTopics'),
    key: unset(
      text,
      'unset = "{mqttTopic}"; also {gateway} {clientId} {username} {payload.path.to.field}; "" = none',
    ),
    partition: setting(
      text,
      'byKey',
      'byKey (the murmur2 of Java clients) | roundRobin | "{name}" or a number',
    ),
    timestamp: unset(
      text,
      '"{payload.ts}"; a bad or missing one = arrival time, and a header says so',
    ),
    timestampFormat: setting(choice('auto', 'iso', 's', 'ms', 'us'), 'auto', 'of timestamp'),
    profile: unset(text, 'a device profile: payload format, event time, validation'),
    headers: dictionary(
      'Constants or {names}; mqtt.topic always, mqtt.retain when set.',
      setting(text, '', 'a constant or {names}'),
    ),
  },
)

const storage = section('The store.', {
  diskBudget: setting(
    budget('64MiB'),
    '50%',
    'of the file system, or bytes, for everything under dataDir',
  ),
  keepFree: setting(size('0', '64TiB'), '512MiB', 'the stricter of the two wins'),
  commitInterval: setting(
    autoOr(duration('0ms', '1s')),
    'auto',
    'least time between group commits; auto = each follows the one before, after a moment that comes from the measured write time; longer = kinder to flash, later acks',
  ),
  segmentBytes: setting(size('64KiB', '1GiB'), '16MiB', 'a segment file is closed at this size'),
  batchBytes: setting(
    size('4KiB', '256KiB'),
    '256KiB',
    'the tail is sealed at this size (uncompressed)',
  ),
  healWindow: setting(
    duration('0', '3650d'),
    '24h',
    'replicated data kept for an upstream that lost its tail',
  ),
})

const upstream = optionalSection('The Kafka cluster to replicate to. Absent = no replication.', {
  bootstrapServers: list(hostPort, [], 'host:port, one or more'),
  clientId: setting(text, 'tributary-{gateway}', 'how the cluster sees this gateway'),
  createTopics: setting(
    flag,
    'true',
    'false or denied: the exact kafka-topics line to run is printed',
  ),
  replicationFactor: unset(integer(1, 32_767), "unset = the cluster's default"),
  groups: section(
    'Consumer groups that travel with their offsets. Not in this version, but off.',
    {
      sync: setting(choice('both', 'up', 'down', 'off'), 'both', 'both | up | down | off', {
        later: ['both', 'up', 'down'],
      }),
      include: list(text, ['*'], 'group names, * matches anything', { later: true }),
      exclude: list(text, ['console-consumer-*'], 'the same', { later: true }),
    },
    'sync',
  ),
  security: section('How to connect.', {
    protocol: setting(
      choice('PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'),
      'PLAINTEXT',
      'PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL',
    ),
    mechanism: unset(
      choice('PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'),
      'PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512',
      { later: ['OAUTHBEARER'] },
    ),
    username: unset(text, 'for SASL'),
    password: unset(secretText, 'better: passwordFile'),
    passwordFile: unset(filePath, 'its first line is the password'),
    caFile: unset(filePath, "PEM; unset = the system's authorities"),
    certFile: unset(filePath, 'PEM; client certificate (mTLS)'),
    keyFile: unset(filePath, 'PEM'),
  }),
  linger: setting(duration('0', '60s'), '100ms', 'how long a small tail waits for more'),
  maxBytesPerSecond: unset(size('1KiB', '10GiB'), 'unset = as fast as the link'),
})

export const CONFIG = section('', {
  gateway: unset(
    gatewayName,
    "required with an upstream; fixed at first start. It names this gateway's topics for ever.",
  ),
  topicPrefix: setting(
    text,
    '{gateway}.',
    "put before every route's topic; topics with it are replicated, others are local only",
  ),
  dataDir: setting(directoryPath, './tributary-data', 'the store'),
  mqtt,
  routes,
  profiles: list(filePath, [], 'files of device profiles'),
  deadLetter: setting(
    topicName,
    'dead-letter',
    'topic for what fails its profile, with the reason; still acked',
  ),
  unrouted: unset(
    topicName,
    'a topic; unset: counted, and warned once per prefix with the nearest route',
  ),
  maxTopics: setting(integer(1, 10_000), '100', 'a device never makes more topics than this'),
  topicDefaults: section('What a new topic gets.', {
    partitions: setting(partitions, '6', '1 to 1000'),
    compression: setting(
      compression,
      'auto',
      'auto | zstd | lz4 | none; auto = zstd: a half to two thirds of the bytes of lz4, for more CPU',
    ),
    retentionTime: setting(retentionTime, '7d', 'by arrival time'),
    retentionBytes: unset(
      retentionBytes,
      'bytes per partition, as in Kafka; unset: only diskBudget limits',
    ),
    whenFull: setting(
      whenFull,
      'block',
      'block: acks are withheld until there is room | dropOldest: what is oldest and not upstream is given up, and counted',
    ),
  }),
  topics: dictionary(
    'Per topic (named as in routes); raising partitions adds them on both sides (keys move: said); lowering is refused.',
    section('', {
      partitions: unset(partitions, '1 to 1000'),
      compression: unset(compression, 'auto | zstd | lz4 | none'),
      retentionTime: unset(retentionTime, 'by arrival time'),
      retentionBytes: unset(retentionBytes, 'bytes per partition'),
      whenFull: unset(whenFull, 'block | dropOldest'),
    }),
  ),
  storage,
  kafka: section('The local Kafka listener.', {
    listeners: list(hostPort, ['127.0.0.1:9092'], '[] = off'),
    advertised: setting(autoOr(hostPort), 'auto', 'auto = the address the client connected to'),
    autoCreateTopics: setting(flag, 'false', 'by a client that names a new topic'),
  }),
  upstream,
  admin: section('Health, metrics and status over HTTP, without a password.', {
    listeners: list(hostPort, ['127.0.0.1:9883'], '[] = off'),
  }),
  logging: section('Lines on standard error.', {
    level: setting(choice('debug', 'info', 'warn', 'error'), 'info', 'debug | info | warn | error'),
    format: setting(
      choice('auto', 'json', 'text'),
      'auto',
      'json | text; auto: text on a terminal and under journald',
    ),
  }),
})

/** The whole configuration, complete: unset keys are present and undefined. */
export type Config = Value<typeof CONFIG>
export type UpstreamConfig = NonNullable<Config['upstream']>
