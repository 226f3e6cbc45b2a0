// A configuration from its YAML text to the value, and every sentence it can be refused with.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type LoadOutcome, loadConfig } from '../../agent/config/loading.ts'
import type { Config } from '../../agent/config/schema.ts'
import { PACKET_SIZE_MAX } from '../../agent/ingest/staging.ts'
import { suite } from '../support/suite.ts'

const test = suite('config loading')

const directory = mkdtempSync(join(tmpdir(), 'tributary-config-'))
test.after(() => rmSync(directory, { recursive: true }))

function load(yaml: string, environment: NodeJS.ProcessEnv = {}): Promise<LoadOutcome> {
  writeFileSync(join(directory, 'tributary.yaml'), yaml)
  return loadConfig({ environment, directory, required: true })
}

async function configOf(yaml: string, environment: NodeJS.ProcessEnv = {}): Promise<Config> {
  const outcome = await load(yaml, environment)
  if (outcome.kind === 'invalid') throw new Error(outcome.problems.join('\n'))
  return outcome.config
}

async function problemsOf(yaml: string, environment: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const outcome = await load(yaml, environment)
  return outcome.kind === 'invalid' ? [...outcome.problems] : []
}

/** YAML → the one sentence it is refused with. */
async function refuses(yaml: string, sentence: string, environment?: NodeJS.ProcessEnv) {
  assert.equal(await problemsOf(yaml, environment), [sentence])
}

const MINIMAL = `gateway: plant-7
routes:
  - mqttTopic: sensors/{device}/{metric}
    topic: sensors
    key: "{device}"
upstream:
  bootstrapServers: ["kafka.example.com:9092"]
`

test('the minimal file gets every default', async () => {
  const config = await configOf(MINIMAL)
  assert.is(config.gateway, 'plant-7')
  assert.is(config.topicPrefix, 'plant-7.')
  assert.is(config.dataDir, join(directory, 'tributary-data'))
  assert.equal(config.mqtt.listeners, ['mqtt://127.0.0.1:1883'])
  assert.is(config.mqtt.allowAnonymous, undefined)
  assert.is(config.mqtt.maxPacketSize, 512 * 1024)
  assert.is(config.routes[0]?.partition, 'byKey')
  assert.equal(config.storage.diskBudget, { percent: 50 })
  assert.is(config.storage.commitInterval, 'auto')
  assert.is(config.storage.healWindow, 86_400_000)
  assert.is(config.topicDefaults.retentionTime, 7 * 86_400_000)
  assert.is(config.upstream?.clientId, 'tributary-plant-7')
  assert.is(config.upstream?.linger, 100)
  assert.equal(config.upstream?.bootstrapServers, ['kafka.example.com:9092'])
  assert.equal(config.admin.listeners, ['127.0.0.1:9883'])
})

test('an empty file is a local agent without prefix and upstream', async () => {
  const config = await configOf('')
  assert.is(config.topicPrefix, '')
  assert.is(config.upstream, undefined)
  assert.equal(config.routes, [])
})

test('names keep their spelling whatever YAML makes of them', async () => {
  const config = await configOf('gateway: 007\ndeadLetter: no\nunrouted: 1e3\n')
  assert.equal([config.gateway, config.deadLetter, config.unrouted], ['007', 'no', '1e3'])
})

test('durations, sizes, shares and auto are read', async () => {
  const config = await configOf(
    'storage:\n  commitInterval: 250ms\n  diskBudget: 1.5GiB\n  segmentBytes: 1048576\n  keepFree: 500MB\n' +
      'topicDefaults: { retentionTime: 2w }\ntopics:\n  sensors: { retentionTime: 36h, retentionBytes: 2GiB }\n',
  )
  assert.is(config.storage.commitInterval, 250)
  assert.equal(config.storage.diskBudget, { bytes: 1.5 * 2 ** 30 })
  assert.is(config.storage.segmentBytes, 1_048_576)
  assert.is(config.storage.keepFree, 500e6)
  assert.is(config.topicDefaults.retentionTime, 14 * 86_400_000)
  assert.is(config.topics.sensors?.retentionTime, 36 * 3_600_000)
  assert.is(config.topics.sensors?.partitions, undefined)
})

test('an unknown key is an error with the nearest known one', async () => {
  await refuses('gatway: x\n', 'tributary.yaml:1: unknown key gatway; did you mean gateway?')
  await refuses(
    'storage:\n  batch_bytes: 1KiB\n',
    'tributary.yaml:2: unknown key storage.batch_bytes; did you mean storage.batchBytes?',
  )
  await refuses(
    '\n\nbootstrap.servers: x\n',
    'tributary.yaml:3: unknown key bootstrap.servers; did you mean upstream.bootstrapServers?',
  )
  await refuses('zzzzqqqq: 1\n', 'tributary.yaml:1: unknown key zzzzqqqq')
  await refuses(
    'routes:\n  - mqttTopic: a\n    topic: b\n    kye: c\n',
    'tributary.yaml:4: unknown key routes[0].kye; did you mean routes[0].key?',
  )
})

test('a wrong value says file, line, key and what was expected', async () => {
  await refuses(
    'storage:\n  segmentBytes: 16 potatoes\n',
    'tributary.yaml:2: storage.segmentBytes: "16 potatoes" does not fit; expected a size from 64KiB to 1GiB, such as 64KiB or 16MiB',
  )
  await refuses(
    MINIMAL.replace('upstream:', 'upstream:\n  linger: 100'),
    'tributary.yaml:7: upstream.linger: "100" does not fit; expected a duration from 0 to 60s, such as 500ms, 30s or 7d',
  )
  await refuses(
    'kafka: { autoCreateTopics: yes }\n',
    'tributary.yaml:1: kafka.autoCreateTopics: "yes" does not fit; expected true or false',
  )
  await refuses(
    'topicDefaults: { partitions: 0 }\n',
    'tributary.yaml:1: topicDefaults.partitions: "0" does not fit; expected a whole number from 1 to 1000',
  )
  await refuses(
    'kafka: { listeners: ["localhost"] }\n',
    'tributary.yaml:1: kafka.listeners[0]: "localhost" does not fit; expected host:port',
  )
  await refuses(
    'mqtt: 1883\n',
    'tributary.yaml:1: mqtt is a scalar; expected keys such as listeners, allowAnonymous, usersFile',
  )
  await refuses(
    'maxTopics:\n',
    'tributary.yaml:1: maxTopics has no value; expected a whole number from 1 to 10000',
  )
  await refuses(
    'mqtt:\n  listeners:\n',
    'tributary.yaml:2: mqtt.listeners has no value; write [] for none',
  )
  await refuses(
    'routes:\n  - topic: a\n',
    'tributary.yaml:2: routes[0].mqttTopic is missing: {name} = one level, {name...} = the rest; + and # work too',
  )
})

test('the two traps of YAML are named', async () => {
  const route = (lines: string) => `routes:\n  - topic: sensors\n${lines}`
  await refuses(
    route('    mqttTopic: "a"\n    key: {device}\n'),
    'tributary.yaml:4: key: {device} is a YAML mapping; write key: "{device}"',
  )
  await refuses(
    route('    mqttTopic: {site}/{device}\n'),
    'tributary.yaml:3: mqttTopic: {site}/{device} is a YAML mapping; write mqttTopic: "{site}/{device}"',
  )
  await refuses(
    route('    mqttTopic: #\n'),
    'tributary.yaml:3: mqttTopic: # is a YAML comment; quote it',
  )
  await refuses(
    'routes:\n  - mqttTopic: # all\n    topic: a\n',
    'tributary.yaml:2: mqttTopic: # is a YAML comment; quote it',
  )
  await refuses(
    'topicPrefix: {gateway}.\n',
    'tributary.yaml:1: topicPrefix: {gateway}. is a YAML mapping; write topicPrefix: "{gateway}."',
  )
  await refuses('mqtt:\n  listeners: [*]\n', 'tributary.yaml:2: * is a YAML alias; quote it: "*"')
})

test('what is no YAML says so with its line', async () => {
  await refuses('gateway: a\ngateway: b\n', 'tributary.yaml:2: not YAML: Map keys must be unique')
  await refuses('- a\n', 'tributary.yaml:1: expected keys such as gateway: and routes:')
  await refuses('a: &x { b: 1 }\nc: *x\n', 'tributary.yaml:2: *x is a YAML alias; quote it: "*x"')
})

test('all problems are told at once, each with its place', async () => {
  const problems = await problemsOf('gatway: x\nmaxTopics: -1\nlogging: { level: loud }\n')
  assert.is(problems.length, 3)
  assert.equal(
    problems.map((line) => line.slice(0, 'tributary.yaml:1'.length)),
    ['tributary.yaml:1', 'tributary.yaml:2', 'tributary.yaml:3'],
  )
})

test('every key can be set by environment, lists and routes too', async () => {
  const config = await configOf(MINIMAL, {
    TRIBUTARY_UPSTREAM_BOOTSTRAP_SERVERS: 'a:9092, b:9093',
    TRIBUTARY_STORAGE_COMMIT_INTERVAL: '5ms',
    TRIBUTARY_KAFKA_LISTENERS: '',
    TRIBUTARY_ROUTES: '[{mqttTopic: "x/#", topic: all}]',
    TRIBUTARY_TOPICS: '{all: {partitions: 3}}',
    TRIBUTARY_TOPIC_PREFIX: '',
    TRIBUTARY_UPSTREAM_GROUPS: 'off',
    HOME: '/root',
  })
  assert.equal(config.upstream?.bootstrapServers, ['a:9092', 'b:9093'])
  assert.is(config.storage.commitInterval, 5)
  assert.equal(config.kafka.listeners, [])
  assert.is(config.routes[0]?.mqttTopic, 'x/#')
  assert.is(config.topics.all?.partitions, 3)
  assert.is(config.topicPrefix, '')
  assert.is(config.upstream?.groups.sync, 'off')
})

test('the environment alone can be the configuration', async () => {
  rmSync(join(directory, 'tributary.yaml'), { force: true })
  const options = { directory, required: true }
  const outcome = await loadConfig({ ...options, environment: { TRIBUTARY_GATEWAY: 'plant-8' } })
  assert.is(outcome.kind === 'valid' && outcome.config.gateway, 'plant-8')
})

test('an unknown variable is an error, and those of tools are let through', async () => {
  await refuses(
    '',
    'TRIBUTARY_STORAGE_SEGMENT_BYTE: unknown variable; did you mean TRIBUTARY_STORAGE_SEGMENT_BYTES?',
    { TRIBUTARY_STORAGE_SEGMENT_BYTE: '1', TRIBUTARY_REQUIRE_PEERS: '1', TRIBUTARY_CACHE: '/c' },
  )
  await refuses(
    '',
    'TRIBUTARY_MAX_TOPICS: maxTopics: "many" does not fit; expected a whole number from 1 to 10000',
    { TRIBUTARY_MAX_TOPICS: 'many' },
  )
})

test('relations between keys are checked', async () => {
  await refuses(
    'storage:\n  segmentBytes: 64KiB\n',
    'tributary.yaml:2: storage.segmentBytes (65536) must be at least storage.batchBytes (262144): a segment holds whole batches',
  )
  await refuses(
    'upstream: { bootstrapServers: ["k:9092"] }\n',
    "tributary.yaml:1: upstream needs gateway: it names this gateway's topics for ever",
  )
  await refuses(
    'gateway: g\nupstream: { linger: 1s }\n',
    'tributary.yaml:2: upstream needs bootstrapServers, such as ["kafka.example.com:9092"]',
  )
  await refuses(
    'mqtt:\n  listeners: ["mqtt://0.0.0.0:1883"]\n',
    'tributary.yaml:2: mqtt.listeners: mqtt://0.0.0.0:1883 is open to the network; set mqtt.usersFile (mosquitto_passwd writes one), or mqtt.allowAnonymous: true',
  )
  await refuses(
    'mqtt:\n  listeners: ["mqtts://127.0.0.1"]\n',
    'tributary.yaml:2: mqtt.listeners: mqtts://127.0.0.1 needs mqtt.tls.certFile and mqtt.tls.keyFile',
  )
  assert.equal(
    await problemsOf('mqtt: { listeners: ["mqtt://0.0.0.0"], allowAnonymous: true }\n'),
    [],
  )
})

test('topic names obey Kafka with their prefix', async () => {
  const long = 'x'.repeat(240)
  await refuses(
    `gateway: plant-number-7\ndeadLetter: ${long}\n`,
    `tributary.yaml:2: deadLetter: "plant-number-7.${long}" is 255 characters; Kafka takes 1 to 249`,
  )
  await refuses(
    'topics:\n  a b: {}\n',
    'tributary.yaml:2: topics.a b is no topic name: letters, digits, ".", "_" and "-", at most 249',
  )
  await refuses(
    'topicPrefix: "x{gateway}"\n',
    'tributary.yaml:1: topicPrefix uses {gateway}: set gateway',
  )
  await refuses(
    'topicPrefix: "{site}."\n',
    'tributary.yaml:1: topicPrefix: {site} is unknown; only {gateway} stands here',
  )
})

test('what is not in this version is refused, its defaults are silent', async () => {
  const later = 'not in this version'
  const up = (line: string) => `${MINIMAL}  ${line}\n`
  assert.equal(await problemsOf(MINIMAL), [])
  assert.equal(await problemsOf(up('groups: off')), [])
  await refuses(up('groups: both'), `tributary.yaml:8: upstream.groups.sync: both is ${later}`)
  await refuses(
    up('groups: { include: ["a"] }'),
    `tributary.yaml:8: upstream.groups.include: ${later}`,
  )
  await refuses('mqtt: { aclFile: acl }\n', `tributary.yaml:1: mqtt.aclFile: ${later}`)
  const security =
    'security: { protocol: SASL_SSL, mechanism: OAUTHBEARER, username: u, password: p }'
  await refuses(
    up(security),
    `tributary.yaml:8: upstream.security.mechanism: OAUTHBEARER is ${later}`,
  )
})

test('security settings must make sense together', async () => {
  const security = (keys: string) => `${MINIMAL}  security: { ${keys} }\n`
  const at = 'tributary.yaml:8: upstream.security:'
  await refuses(
    security('protocol: SASL_SSL, username: u, password: p'),
    `${at} protocol SASL_SSL needs mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
  )
  await refuses(
    security('protocol: SASL_SSL, mechanism: PLAIN, username: u'),
    `${at} protocol SASL_SSL needs passwordFile (or password)`,
  )
  await refuses(
    security('mechanism: PLAIN, username: u, password: p'),
    `${at} protocol PLAINTEXT sends no password; set protocol: SASL_PLAINTEXT or SASL_SSL`,
  )
  writeFileSync(join(directory, 'ca.pem'), 'x')
  await refuses(
    security('caFile: ca.pem'),
    `${at} caFile has no use with protocol PLAINTEXT; set protocol: SSL`,
  )
})

test('a password comes from a file beside the configuration, its first line only', async () => {
  mkdirSync(join(directory, 'etc'), { recursive: true })
  writeFileSync(join(directory, 'etc', 'secret'), 's3cret\n\n')
  const yaml = `${MINIMAL}  security: { protocol: SASL_SSL, mechanism: PLAIN, username: u, passwordFile: ../etc/secret }\n`
  writeFileSync(join(directory, 'etc', 'other.yaml'), yaml)
  const outcome = await loadConfig({
    file: 'etc/other.yaml',
    environment: {},
    directory,
    required: true,
  })
  if (outcome.kind === 'invalid') throw new Error(outcome.problems.join('\n'))
  assert.is(outcome.config.upstream?.security.password, 's3cret')
  assert.is(outcome.config.dataDir, join(directory, 'etc', 'tributary-data'))
  await refuses(
    yaml.replace('../etc/secret', 'nowhere'),
    `tributary.yaml:8: upstream.security.passwordFile: ${join(directory, 'nowhere')}: no such file`,
  )
})

test('a wrong secret is never repeated', async () => {
  const yaml = `${MINIMAL}  security: { password: [hunter2] }\n`
  for (const problem of await problemsOf(yaml)) assert.not.match(problem, 'hunter2')
})

test('files that are named must be readable', async () => {
  await refuses(
    'mqtt: { usersFile: users }\n',
    `tributary.yaml:1: mqtt.usersFile: ${join(directory, 'users')}: no such file`,
  )
  await refuses(
    `profiles: ["."]\n`,
    `tributary.yaml:1: profiles[0]: ${directory} is a folder; expected a file`,
  )
})

test('a users file with a line that is none is named by its line', async () => {
  writeFileSync(join(directory, 'passwords'), 'anna:plain\n')
  const [problem] = await problemsOf('mqtt: { usersFile: passwords }\n')
  assert.match(problem!, /^tributary.yaml:1: mqtt.usersFile: .*passwords:1: /)
  assert.not.match(problem!, 'plain')
})

test('the largest packet that may be configured is the largest that ingest takes', async () => {
  const bytes = (size: number) => configOf(`mqtt: { maxPacketSize: ${size} }\n`)
  assert.is((await bytes(PACKET_SIZE_MAX)).mqtt.maxPacketSize, PACKET_SIZE_MAX)
  assert.is((await problemsOf(`mqtt: { maxPacketSize: ${PACKET_SIZE_MAX + 1} }\n`)).length, 1)
})

test('a configuration that is looked for in vain names where', async () => {
  const empty = mkdtempSync(join(directory, 'empty-'))
  const none = { environment: {}, directory: empty }
  assert.equal(await loadConfig({ ...none, required: true }), {
    kind: 'invalid',
    problems: [
      'no configuration: looked for ./tributary.yaml and /etc/tributary/tributary.yaml; tributary init writes one',
    ],
  })
  assert.is((await loadConfig({ ...none, required: false })).kind, 'valid')
  assert.equal(await loadConfig({ ...none, file: 'x.yaml', required: false }), {
    kind: 'invalid',
    problems: ['x.yaml: no such file'],
  })
})

test('TRIBUTARY_CONFIG names the file', async () => {
  writeFileSync(join(directory, 'named.yaml'), 'gateway: named\n')
  const environment = { TRIBUTARY_CONFIG: 'named.yaml' }
  const outcome = await loadConfig({ environment, directory, required: true })
  assert.is(outcome.kind === 'valid' && outcome.config.gateway, 'named')
  assert.is(outcome.kind === 'valid' && outcome.file, join(directory, 'named.yaml'))
})

test('what is open to the network without a password is warned about', async () => {
  const outcome = await load(
    'admin: { listeners: ["0.0.0.0:9883"] }\nkafka: { listeners: ["127.0.0.1:9092"] }\n',
  )
  assert.equal(outcome.kind === 'valid' && outcome.warnings, [
    'tributary.yaml:1: admin.listeners: 0.0.0.0:9883 is open to the network, without a password',
  ])
})

test('settings of a topic that no route writes are warned about', async () => {
  const outcome = await load(
    'routes: [{ mqttTopic: a, topic: sensors }]\ntopics: { sensor: { partitions: 2 } }\n',
  )
  assert.equal(outcome.kind === 'valid' && outcome.warnings, [
    'tributary.yaml:2: topics.sensor: no route writes to it; did you mean sensors?',
  ])
})

test('routes are tried out: shadows, unknown names and unknown profiles', async () => {
  const routes = (...lines: string[]) => `routes:\n${lines.map((line) => `  - ${line}\n`).join('')}`
  await refuses(
    routes('{ mqttTopic: "sensors/#", topic: a }', '{ mqttTopic: sensors/temp, topic: b }'),
    'tributary.yaml:3: routes[1].mqttTopic sensors/temp is never reached: routes[0] sensors/# takes all of it and stands before it',
  )
  assert.match(
    (await problemsOf(routes('{ mqttTopic: "a/{x}", topic: "{y}" }'))).join(),
    /^tributary.yaml:2: routes\[0\].topic knows no \{y\}/,
  )
  assert.match(
    (await problemsOf(routes('{ mqttTopic: a, topic: b, profile: nothing }'))).join(),
    /^tributary.yaml:2: routes\[0\].profile nothing is not a known profile/,
  )
})

test('a profile comes from its YAML file, and its faults are told', async () => {
  const profile =
    'name: meter\nmqttTopic: "m/{device}"\nfields:\n  - { name: v, path: v, type: number, min: 0 }\n'
  writeFileSync(join(directory, 'meter.yaml'), profile)
  const yaml =
    'profiles: [meter.yaml]\nroutes: [{ mqttTopic: "m/{d}", topic: m, profile: meter }]\n'
  assert.equal(await problemsOf(yaml), [])
  writeFileSync(join(directory, 'meter.yaml'), `${profile}colour: red\n`)
  const [problem] = await problemsOf(yaml)
  assert.match(problem!, /^tributary.yaml:1: profiles\[0\]: .*meter.yaml: unknown key "colour"/)
})

test('deeply nested YAML is refused, not followed', async () => {
  const problems = await problemsOf(`x: ${'['.repeat(40)}${']'.repeat(40)}\n`)
  assert.match(problems.join('\n'), 'nested too deeply')
})

test('an unreadable configuration says so', async () => {
  const path = join(directory, 'locked.yaml')
  writeFileSync(path, '')
  chmodSync(path, 0)
  const outcome = await loadConfig({ file: path, environment: {}, directory, required: true })
  // root reads everything.
  if (process.getuid?.() === 0) assert.is(outcome.kind, 'valid')
  else
    assert.equal(outcome.kind === 'invalid' && outcome.problems, [
      'locked.yaml: may not be read by this user',
    ])
})

test('no topic gets the name of a file of the store', async () => {
  await refuses(
    'topicPrefix: ""\ndeadLetter: journal\n',
    `tributary.yaml:2: deadLetter: "journal" is the name of a file of the store; choose another one`,
  )
})

test.run()
