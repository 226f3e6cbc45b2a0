// Frames that other people's programs made (test/golden/wasm/README.md), and the bytes they hold.

import { readFileSync } from 'node:fs'
import { BATCH_HEADER_BYTES } from '../../wasm/assembly/limits.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { sensorBytes } from './twins.ts'

export interface GoldenFrame {
  name: string
  frame: Buffer
  bytes: Buffer
}

/** Bytes that a name and a length say. */
const CONTENTS: Record<string, (length: number) => Buffer> = {
  sensor: sensorBytes,
  zeros: (length) => Buffer.alloc(length),
  fives: (length) => Buffer.alloc(length, 'abcde'),
  random: (length) => new SeededRandom(length).bytes(length),
  // Nothing repeats, but eight bits are too many for it.
  digits: (length) => new SeededRandom(length).bytes(length).map(tenth) as Buffer,
  coins: (length) => new SeededRandom(length).bytes(length).map((byte) => byte & 1) as Buffer,
  // Records that differ in three bytes, or only by one letter.
  counters: (length) => {
    const bytes = new SeededRandom(length).bytes(length)
    return bytes.map((byte, at) => (at % 16 < 3 ? byte : at % 16)) as Buffer
  },
  letters: (length) => {
    const random = new SeededRandom(length)
    const words = ['pump 1 on', 'pump 2 off', 'valve open', 'valve shut', 'tank is full']
    let text = words.join('-')
    while (text.length < length) text += `x${words[random.below(5)]}`
    return Buffer.from(text.slice(0, length))
  },
  // Numbers as machines store them: most bytes alike, the others anything.
  doubles: (length) => {
    const random = new SeededRandom(length)
    const bytes = Buffer.alloc(length + 8)
    for (let at = 0; at < length; at += 8) bytes.writeDoubleLE(20 + random.next(), at)
    return bytes.subarray(0, length)
  },
}

const tenth = (byte: number): number => 48 + Math.floor(byte / 25.6)

/** `sensor 1000` → 1000 bytes as sensors write them. */
export function contents(recipe: string): Buffer {
  const [kind, length] = recipe.split(' ')
  return CONTENTS[kind!]!(Number(length))
}

export function goldenFrames(codec: 'zstd' | 'snappy'): GoldenFrame[] {
  const file = new URL(`../golden/wasm/${codec}.json`, import.meta.url)
  const rows = JSON.parse(readFileSync(file, 'utf8')) as { by: string; of: string; frame: string }[]
  return rows.map(({ by, of, frame }) => ({
    name: `${by} of ${of}`,
    frame: Buffer.from(frame, 'base64'),
    bytes: contents(of),
  }))
}

/** What follows the header in a batch of the Java producer (test/golden/record/README.md). */
export function recordsOf(codec: string): Buffer {
  const batch = readFileSync(new URL(`../golden/record/java-4.1.1-${codec}.bin`, import.meta.url))
  return batch.subarray(BATCH_HEADER_BYTES)
}
