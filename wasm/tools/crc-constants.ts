// Proves the numbers of the CRC kernels from the polynomial alone, and the tables computed from them.
//
//   node --import tsx wasm/tools/crc-constants.ts
//
// Exits 1 and names every constant that is wrong. Polynomials are numbers here whose bit i is x^i.

import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import * as constants from '../assembly/crc-polynomial.ts'
import { CRC_ADVANCE, CRC_NIBBLES, CRC_TABLES } from '../assembly/limits.ts'
import { Kernel } from '../kernel.ts'

/** Castagnoli's polynomial as RFC 3720 gives it: 0x11edc6f41. */
const TERMS = [32, 28, 27, 26, 25, 23, 22, 20, 19, 18, 14, 13, 11, 10, 9, 8, 6, 0]
const LOW_TERMS = TERMS.slice(1).reduce((sum, power) => (sum | (1 << power)) >>> 0, 0)

const timesX = (a: number): number => ((a << 1) ^ (a >>> 31 ? LOW_TERMS : 0)) >>> 0

/** x^0, x^1, … modulo the polynomial. */
function powers(count: number): number[] {
  const list = [1]
  while (list.length < count) list.push(timesX(list[list.length - 1]!))
  return list
}

function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 31; bit >= 0; bit--) {
    product = timesX(product)
    if ((b >>> bit) & 1) product ^= a
  }
  return product >>> 0
}

function reflect(a: number): number {
  let reflected = 0
  for (let bit = 0; bit < 32; bit++) if ((a >>> bit) & 1) reflected |= 1 << (31 - bit)
  return reflected >>> 0
}

/** Names of the numbers that are not what the polynomial makes them. */
export function wrongConstants(numbers: Record<string, number> = { ...constants }): string[] {
  const wrong: string[] = []
  const expected = { POLYNOMIAL: reflect(LOW_TERMS), X8: reflect(1 << 8) }
  for (const [name, value] of Object.entries(expected))
    if (numbers[name] !== value) wrong.push(name)
  for (const [multiple, weight, step] of [
    ['SHORT', 8, 2],
    ['LONG', 6, 16],
  ] as const) {
    const degree = numbers[`${multiple}_DEGREE`]!
    const gaps = Object.keys(numbers)
      .filter((name) => name.startsWith(`${multiple}_GAP_`))
      .map((name) => numbers[name]!)
    const exponents = [degree, ...gaps.map((gap) => degree - gap), 0]
    const x = powers(256)
    // A fold takes two vectors at a step: the smallest gap must be wider.
    const isDivisible = exponents.reduce((sum, e) => sum ^ (x[e] ?? 1), 0) === 0
    const isWide = Math.min(...gaps) * step >= 32
    if (new Set(exponents).size !== weight || !isDivisible || !isWide)
      wrong.push(`${multiple}_DEGREE`)
  }
  return wrong
}

/**
 * Whether a multiple of two, four or six terms has a degree below this one. (No multiple has an odd
 * number: x + 1 divides the polynomial.) One term is x^0; those that are left meet in the middle.
 */
export function hasLighterMultiple(degree: number): boolean {
  const x = powers(degree)
  // 1, or 1 + x^a, or 1 + x^a + x^b: equal to a sum of one or three others?
  const near = new Set([1])
  for (let a = 1; a < degree; a++) {
    for (let b = a + 1; b < degree; b++) near.add((1 ^ x[a]! ^ x[b]!) >>> 0)
  }
  for (let c = 1; c < degree; c++) {
    if (near.has(x[c]!)) return true
    for (let d = c + 1; d < degree; d++) {
      for (let e = d + 1; e < degree; e++) {
        if (near.has((x[c]! ^ x[d]! ^ x[e]!) >>> 0)) return true
      }
    }
  }
  return false
}

/** Names of the tables in a kernel's memory that differ from the polynomial's. */
export function wrongTables(view: DataView): string[] {
  const wrong = new Set<string>()
  const expect = (name: string, found: number, value: number) => found === value || wrong.add(name)
  const x = powers(8 * (16 * 15 + 4))
  /** A reflected word moved on by some bytes. */
  const moved = (word: number, power: number) => reflect(multiply(reflect(word), power))
  for (let i = 0; i < 16 * 256; i++) {
    const value = moved(i & 255, x[8 * ((i >>> 8) + 1)]!)
    expect('CRC_TABLES', view.getUint32(CRC_TABLES + 4 * i, true), value)
  }
  for (let d = 0; d < 16; d++) {
    for (let i = 0; i < 32; i++) {
      const high = i >>> 4
      const value = moved((i & 15) << (4 * high), x[128 * d]!)
      for (let plane = 0; plane < 4; plane++) {
        const at = CRC_NIBBLES + 128 * d + 64 * high + 16 * plane + (i & 15)
        expect('CRC_NIBBLES', view.getUint8(at), (value >>> (8 * plane)) & 255)
      }
    }
  }
  let power = x[8]!
  for (let i = 0; i < 32; i++) {
    for (let entry = 0; entry < 128; entry++) {
      const word = ((entry & 15) << (4 * (entry >>> 4))) >>> 0
      const at = CRC_ADVANCE + 512 * i + 4 * entry
      expect('CRC_ADVANCE', view.getUint32(at, true), moved(word, power))
    }
    power = multiply(power, power)
  }
  return [...wrong]
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const wrong = [...wrongConstants(), ...wrongTables(new Kernel().view)]
  if (hasLighterMultiple(constants.LONG_DEGREE)) wrong.push('LONG_DEGREE (a lighter one exists)')
  for (const name of wrong) console.error(`wrong: ${name}`)
  if (wrong.length > 0) process.exitCode = 1
}
