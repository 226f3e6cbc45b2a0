// A secured Kafka: TLS with a certificate of our own authority, SCRAM users and client certificates,
// and an authorizer that grants each gateway its own topics and nothing else.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { findProgram } from '../support/peers.ts'
import { freePorts, waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
import { compareStored, noComparison } from './stored-batches.ts'

const test = suite('replication into a secured Kafka')
const folder = mkdtempSync(join(tmpdir(), 'tributary-tls-'))
test.after(() => rmSync(folder, { recursive: true }))
const MESSAGES = 50

const program = findProgram('openssl')

function openssl(args: string[]): void {
  const { status, stderr } = spawnSync(program!, args, { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`)
}

/** An authority, and certificates of it for the broker and for gateway gw1. */
function makeCertificates(): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  openssl([
    ...['req', '-x509', ...key, '-subj', '/CN=test authority'],
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  ])
  for (const name of ['broker', 'gw1']) {
    const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key']
    openssl([
      'req',
      '-x509',
      ...key,
      ...subject,
      ...signed,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
    ])
    const both = ['key', 'pem'].map((ending) => readFileSync(join(folder, `${name}.${ending}`)))
    writeFileSync(join(folder, `${name}-store.pem`), Buffer.concat(both))
  }
}

async function secureKafka(saslPort: number, sslPort: number): Promise<KafkaCluster | undefined> {
  const scramModule = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
  return KafkaCluster.create({
    listeners: [`SASL_SSL://127.0.0.1:${saslPort}`, `SSL://127.0.0.1:${sslPort}`],
    scram: [
      'SCRAM-SHA-256=[name=gw2,password=secret-2]',
      'SCRAM-SHA-512=[name=gw3,password=secret-3]',
    ],
    properties: {
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': join(folder, 'broker-store.pem'),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.location': join(folder, 'ca.pem'),
      'listener.name.ssl.ssl.client.auth': 'required',
      'sasl.enabled.mechanisms': 'SCRAM-SHA-256,SCRAM-SHA-512',
      'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': scramModule,
      'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': scramModule,
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
    },
  })
}

async function publish(agent: AgentProcess): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
  for (let order = 0; order < MESSAGES; order++) {
    await client.publishAsync('t', `message ${order}`, { qos: 1 })
  }
  await client.endAsync()
}

function agentOf(gateway: string, port: number, security: object): Promise<AgentProcess> {
  return AgentProcess.create({
    gateway,
    topicDefaults: { partitions: 1 },
    upstream: {
      bootstrapServers: [`127.0.0.1:${port}`],
      security: { caFile: join(folder, 'ca.pem'), ...security },
    },
  })
}

async function reasonOf(agent: AgentProcess): Promise<string> {
  let reason = ''
  await waitUntil('a partition is parked', 15_000, async () => {
    const [topic] = (await agent.status()).topics
    const [partition] = topic?.partitions ?? []
    reason = partition?.reason ?? ''
    return partition?.replication === 'parked'
  })
  return reason
}

test(
  'gateways with a certificate or a password reach their topics, and only theirs',
  async () => {
    if (program === undefined) {
      console.log('skipped: openssl is not installed (apt-get install openssl)')
      return
    }
    const [saslPort, sslPort] = await freePorts(2)
    makeCertificates()
    const kafka = await secureKafka(saslPort!, sslPort!)
    if (kafka === undefined) return
    const scram = (username: string, password: string, bits: number) => ({
      ...{ protocol: 'SASL_SSL', mechanism: `SCRAM-SHA-${bits}`, username, password },
    })
    const files = { certFile: join(folder, 'gw1.pem'), keyFile: join(folder, 'gw1.key') }
    const agents = await Promise.all([
      agentOf('gw1', sslPort!, { protocol: 'SSL', ...files }),
      agentOf('gw2', saslPort!, scram('gw2', 'secret-2', 256)),
      agentOf('gw3', saslPort!, scram('gw3', 'secret-3', 512)),
      agentOf('gw4', saslPort!, scram('gw2', 'wrong', 256)),
    ])
    const [mutual, password, denied, wrong] = agents
    try {
      await kafka.start()
      for (const [principal, prefix] of [
        ['User:CN=gw1', 'gw1.'],
        ['User:gw2', 'gw2.'],
      ] as const) {
        const rights = ['Create', 'Describe', 'Read', 'Write'].flatMap((right) => [
          '--operation',
          right,
        ])
        const { code, stderr } = await kafka.tools.run('org.apache.kafka.tools.AclCommand', [
          ...[
            '--bootstrap-server',
            kafka.bootstrapServers,
            '--add',
            '--allow-principal',
            principal,
          ],
          ...[...rights, '--topic', prefix, '--resource-pattern-type', 'prefixed'],
        ])
        assert.is(code, 0, stderr)
      }
      await Promise.all(agents.map((agent) => agent.start()))
      await Promise.all(agents.map(publish))
      for (const [agent, name] of [
        [mutual!, 'gw1.mqtt-0'],
        [password!, 'gw2.mqtt-0'],
      ] as const) {
        await agent.replicated(20_000)
        await agent.stop()
        const compared = noComparison()
        const theirs = kafka.nodes[0]!.partitionFolder(name.slice(0, -2), 0)
        compareStored(join(agent.dataDir, name), theirs, compared)
        assert.equal(compared.faults, [])
        assert.is(compared.records, MESSAGES)
      }
      assert.match(
        await reasonOf(denied!),
        "→ grant Describe, Read and Write on topic gw3.mqtt to this gateway's principal",
      )
      const reason = await reasonOf(wrong!)
      assert.match(reason, 'check username and password (user gw2)')
      assert.not.match(agents.map(({ log }) => log).join(''), /secret-|wrong"/)
    } finally {
      await Promise.all([...agents.map((agent) => agent.remove()), kafka.remove()])
    }
  },
  { timeoutMs: 90_000 },
)

test.run()
