// The cache of Kafka's jars: a broken download is not believed, two at once do not spoil each other.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { install, isComplete, markComplete } from './kafka-jars.ts'
import { suite } from './suite.ts'

const test = suite('kafka jars')
const folder = mkdtempSync(join(tmpdir(), 'tributary-jars-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** A download whose jar holds this text. */
function downloadOf(name: string, text: string, isMarked = true): string {
  const place = join(folder, name)
  mkdirSync(join(place, 'libs'), { recursive: true })
  writeFileSync(join(place, 'libs', 'a.jar'), text)
  if (isMarked) markComplete(place)
  return place
}

const jarIn = (place: string) => readFileSync(join(place, 'libs', 'a.jar'), 'utf8')

test('only a marked folder with every jar at its size is complete', () => {
  assert.not(isComplete(join(folder, 'absent')))
  assert.not(isComplete(downloadOf('unmarked', 'jar', false)))
  const place = downloadOf('whole', 'jar')
  assert.ok(isComplete(place))
  writeFileSync(join(place, 'libs', 'a.jar'), 'cut')
  assert.ok(isComplete(place), 'the same size')
  writeFileSync(join(place, 'libs', 'a.jar'), 'ja')
  assert.not(isComplete(place))
  rmSync(join(place, 'libs', 'a.jar'))
  assert.not(isComplete(place))
})

test('a marker without jars, or that is no JSON, proves nothing', () => {
  const place = downloadOf('odd', 'jar')
  writeFileSync(join(place, 'complete.json'), '{}')
  assert.not(isComplete(place))
  writeFileSync(join(place, 'complete.json'), '{"a.jar":')
  assert.not(isComplete(place))
})

test('a fresh download takes the place of a broken one', () => {
  const place = downloadOf('broken', 'half', false)
  const fresh = downloadOf('broken.new', 'whole')
  install(fresh, place)
  assert.is(jarIn(place), 'whole')
  assert.ok(isComplete(place))
  assert.not(existsSync(fresh))
})

test('the second of two downloads leaves the first in place', () => {
  const place = downloadOf('raced', 'first')
  const fresh = downloadOf('raced.new', 'second')
  install(fresh, place)
  assert.is(jarIn(place), 'first')
  assert.not(existsSync(fresh))
})

test.run()
