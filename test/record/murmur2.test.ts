// Partitioning against vectors of Java's own hash.

import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { murmur2, partitionFor } from '../../agent/record/murmur2.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/murmur2')

test('equals the vectors in the tests of Kafka', () => {
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [key, hash] of vectors) assert.is(murmur2(Buffer.from(key)), hash, key)
})

test('equals Java for keys of 0 to 40 bytes, and chooses the same partition', () => {
  const url = new URL('../golden/record/java-4.1.1-murmur2.txt', import.meta.url)
  const lines = readFileSync(url, 'utf8').trimEnd().split('\n')
  assert.is(lines.length, 41)
  for (const line of lines) {
    const [hex, hash, partition] = line.split(' ')
    const key = Buffer.from(hex!, 'hex')
    assert.is(murmur2(key), Number(hash))
    assert.is(partitionFor(key, 12), Number(partition))
  }
})

test('a partition is always one of those there are', () => {
  for (let i = 0; i < 1000; i++) {
    const partition = partitionFor(Buffer.from(`key-${i}`), 7)
    assert.ok(partition >= 0 && partition < 7)
    assert.is(partitionFor(Buffer.from(`key-${i}`), 1), 0)
  }
})

test.run()
