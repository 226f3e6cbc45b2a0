// The cache of mqttTopics: what it finds, and that no peer can fill the memory through it.

import * as assert from 'uvu/assert'
import { RouteCache, RoutedTopic } from '../../agent/ingest/route-cache.ts'
import { suite } from '../support/suite.ts'

const test = suite('route cache')

function enter(cache: RouteCache, name: string, owner = 0): RoutedTopic {
  const bytes = Buffer.from(name)
  assert.is(cache.find(bytes, 0, bytes.length, owner), undefined)
  const entry = new RoutedTopic(bytes, owner, 'unrouted', undefined)
  cache.add(entry)
  return entry
}

function find(cache: RouteCache, name: string, owner = 0): RoutedTopic | undefined {
  const bytes = Buffer.from(`..${name}..`)
  return cache.find(bytes, 2, bytes.length - 4, owner)
}

test('a name is found by its bytes and its owner, whatever it is', () => {
  const cache = new RouteCache()
  const names = ['a', 'a/b', '__proto__', 'constructor', 'sensors/größe', 'x'.repeat(512)]
  const entries = names.map((name) => enter(cache, name))
  for (const [index, name] of names.entries()) assert.is(find(cache, name), entries[index])
  assert.is(find(cache, 'a', 7), undefined)
  assert.is(find(cache, 'b'), undefined)
})

test('names that no device has are not kept: 64 KB each would fill the memory', () => {
  const cache = new RouteCache()
  const name = `a/${'x'.repeat(511)}`
  enter(cache, name)
  assert.is(find(cache, name), undefined)
})

test.run()
