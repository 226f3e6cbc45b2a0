// The file of `init` and the text of `config show`, both read back by the loader.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../agent/config/loading.ts'
import { showConfig, templateConfig } from '../../agent/config/rendering.ts'
import { CONFIG, type Config } from '../../agent/config/schema.ts'
import type { Node } from '../../agent/config/setting.ts'
import { knownTopicSettings, topicSettings } from '../../agent/config/topic-settings.ts'
import { suite } from '../support/suite.ts'

const test = suite('config rendering')

const directory = mkdtempSync(join(tmpdir(), 'tributary-config-'))
test.after(() => rmSync(directory, { recursive: true }))

async function load(yaml: string): Promise<Config> {
  writeFileSync(join(directory, 'tributary.yaml'), yaml)
  const outcome = await loadConfig({ environment: {}, directory, required: true })
  if (outcome.kind === 'invalid') throw new Error(outcome.problems.join('\n'))
  return outcome.config
}

const FULL = `gateway: plant-7
mqtt: { listeners: ["mqtt://127.0.0.1:1884", "tcp://localhost:1885"], allowAnonymous: false }
routes:
  - mqttTopic: "#"
    topic: "all-{clientId}"
    timestamp: "{payload.ts}"
    partition: 3
    headers: { site: "north: 1", "odd key": "true" }
topics: { "all.x": { partitions: 12, retentionTime: 36h }, "2026": {} }
storage: { diskBudget: 12GiB, commitInterval: 20ms }
upstream:
  bootstrapServers: ["a:1", "[::1]:2"]
  security: { protocol: SASL_SSL, mechanism: PLAIN, username: "u: v", password: hunter2 }
`

test('what show prints reads back to the same configuration, secrets aside', async () => {
  const config = await load(FULL)
  const shown = showConfig(config)
  assert.not.match(shown, 'hunter2')
  assert.match(shown, 'password: "********"')
  const again = await load(shown.replace('********', 'hunter2'))
  assert.is(JSON.stringify(again), JSON.stringify(config))
})

test('the file of init is valid as it is', async () => {
  const config = await load(templateConfig('plant-7'))
  assert.is(config.gateway, 'plant-7')
  assert.is(config.routes[0]?.topic, 'sensors')
  assert.is(config.upstream, undefined)
})

test('the file of init states the defaults: uncommented it says the same', async () => {
  const template = templateConfig('plant-7')
  const body = template.slice(template.indexOf('\n\n'))
  const uncommented = body
    .replace(/^( *)# (\w+:(?: .*)?)$/gm, '$1$2')
    .replace('bootstrapServers: []', 'bootstrapServers: ["k:9092"]')
  const [all, plain] = [await load(uncommented), await load(template)]
  assert.is(all.upstream?.linger, 100)
  assert.is(JSON.stringify({ ...all, upstream: undefined }), JSON.stringify(plain))
})

test('every default of the schema is a value of its kind', () => {
  let checked = 0
  const visit = (node: Node, path: string): void => {
    if (node.kind === 'scalar' || node.kind === 'list') {
      const texts = node.kind === 'list' ? node.fallback : [node.fallback ?? []].flat()
      for (const text of texts) {
        checked++
        assert.ok(node.type.read(text), `${path}: ${text}`)
      }
    } else if (node.kind === 'dictionary') visit(node.of, path)
    else for (const [key, field] of Object.entries(node.fields)) visit(field, `${path}.${key}`)
  }
  visit(CONFIG, '')
  assert.ok(checked > 30)
})

test('a topic gets its own settings over the defaults, with or without the prefix', async () => {
  const config = await load(FULL)
  const own = {
    partitions: 12,
    compression: 'zstd',
    retentionMs: 36 * 3_600_000,
    retentionBytes: undefined,
    whenFull: 'block',
  }
  assert.equal(topicSettings(config, 'plant-7.all.x'), { ...own, replicated: true })
  assert.equal(topicSettings(config, 'all.x'), { ...own, replicated: false })
  assert.is(topicSettings(config, 'plant-7.other').partitions, 6)
  assert.is(topicSettings(config, 'constructor').partitions, 6)
})

test('what a Kafka client has set of a topic stays, unless the file speaks of that topic', async () => {
  const asked = ['compression', 'retentionMs'] as const
  const before = { partitions: 3, replicated: false, compression: 'lz4', asked } as const
  const known = async (yaml: string) => knownTopicSettings(await load(yaml), 'a', before)
  const { compression, retentionMs, whenFull, asked: kept } = await known('')
  assert.equal([compression, retentionMs, whenFull, kept], ['lz4', undefined, 'block', asked])
  const named = await known('topics: { a: { compression: none } }\n')
  assert.equal([named.compression, named.asked], ['none', ['retentionMs']])
  assert.is((await known('topics: { a: { retentionTime: 2d } }\n')).retentionMs, 172_800_000)
})

test('what happens when the disk is full is said for all topics, and for one', async () => {
  const policy = async (yaml: string) => topicSettings(await load(yaml), 'a').whenFull
  const drop = 'topicDefaults: { whenFull: dropOldest }\n'
  assert.is(await policy(''), 'block')
  assert.is(await policy(drop), 'dropOldest')
  assert.is(await policy(`${drop}topics: { a: { whenFull: block } }\n`), 'block')
  assert.is(await policy('topics: { a: { whenFull: dropOldest } }\n'), 'dropOldest')
})

test('what is replicated follows from the prefix, and from having a name at all', async () => {
  const replicated = async (yaml: string, name: string) =>
    topicSettings(await load(yaml), name).replicated
  assert.is(await replicated('', 'sensors'), false)
  assert.is(await replicated('gateway: g\n', 'g.sensors'), true)
  assert.is(await replicated('gateway: g\n', 'sensors'), false)
  assert.is(await replicated('gateway: g\ntopicPrefix: ""\n', 'sensors'), true)
})

test.run()
