import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { checkPartitions, checkTopicName, isBygone, isTopicName } from '../../agent/log/topic.ts'
import { suite } from '../support/suite.ts'

const test = suite('topic names')

test('Kafka decides what may be a name', () => {
  const good = ['a', 'plant-7.sensors_raw', '...', 'x'.repeat(249), 'constructor', '__proto__']
  for (const name of good) assert.ok(isTopicName(name), name)
  const bad = ['', '.', '..', 'x'.repeat(250), '../etc', 'a/b', 'a\\b', 'a b', 'ä', 'a\n', 'a\0']
  for (const name of bad) {
    assert.not(isTopicName(name), JSON.stringify(name))
    assert.throws(() => checkTopicName(name), /cannot be a topic: use up to 249/)
  }
})

test("no partition's directory can have the name of a file of the store", () => {
  const format = readFileSync('agent/log/FORMAT.md', 'utf8')
  const layout = /^```\n<data directory>[\s\S]*?^```/m.exec(format)![0]
  const numbered = [...layout.matchAll(/\b([a-z]+)-\d/g)].map(([, name]) => name!)
  assert.equal([...new Set(numbered)].sort(), ['checkpoint', 'journal'])
  for (const name of numbered) {
    assert.not(isTopicName(name))
    assert.throws(() => checkTopicName(name), /a file of the store has this name/)
    assert.ok(isTopicName(`plant-7.${name}`))
  }
})

test('partitions are counted from 1 to 1,000', () => {
  for (const count of [1, 1000]) checkPartitions('t', count)
  for (const count of [0, -1, 1001, 1.5, Number.NaN]) {
    assert.throws(() => checkPartitions('t', count), /use 1 to 1000/)
  }
})

test('a topic without a mark is gone when a later one has one', () => {
  const record = (...logIds: number[]) => ({
    id: 'x',
    settings: { partitions: 1, replicated: false },
    logIds,
  })
  const marks = new Map([3, 4, 9].map((logId) => [logId, {}]))
  assert.is(isBygone(record(2), marks), true)
  assert.is(isBygone(record(8), marks), true)
  // Partitions that were added since have no marks yet, nor have topics that are new.
  assert.is(isBygone(record(3, 11), marks), false)
  assert.is(isBygone(record(10), marks), false)
  assert.is(isBygone(record(1), new Map()), false)
})

test.run()
