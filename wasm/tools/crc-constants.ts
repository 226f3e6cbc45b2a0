// Derives the constants of the CRC-32C kernels again, from the polynomial alone, and compares them with
// those in the sources.
//
//   node --import tsx wasm/tools/crc-constants.ts     prints what it has proved; exit 1 and the names of
//                                                     the constants that differ

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Castagnoli's, x^32 left out: bit i is the coefficient of x^i. */
const CASTAGNOLI = 0x1edc6f41

export interface Sources {
  /** crc32c.ts and crc32c-fold.ts. */
  crc: string
  fold: string
}

export function readSources(): Sources {
  const read = (name: string) =>
    readFileSync(new URL(`../assembly/${name}`, import.meta.url), 'utf8')
  return { crc: read('crc32c.ts'), fold: read('crc32c-fold.ts') }
}

/** What differs, one sentence each; empty when everything is as derived. */
export function differences({ crc, fold }: Sources): string[] {
  const wrong: string[] = []
  const expect = (isRight: boolean, sentence: string) => {
    if (!isRight) wrong.push(sentence)
  }
  const polynomial = Number(/POLYNOMIAL: u32 = (0x[0-9a-f]+)/.exec(crc)?.[1])
  expect(polynomial === reflected(CASTAGNOLI), 'POLYNOMIAL is not the reflected one of Castagnoli')
  const degree = Number(/DEGREE: u32 = (\d+)/.exec(fold)?.[1])
  const powers = exponentsOf(fold)
  expect(powers[0] === degree, 'DEGREE is not the degree of Q')
  const powersOfX = remainders(degree)
  const remainder = powers.reduce((sum, power) => sum ^ powersOfX[power]!, 0)
  expect(remainder === 0, 'Q is no multiple of the polynomial')
  expect(
    lightestWeight(powersOfX) >= powers.length,
    'a multiple of that degree or less has fewer terms than Q',
  )
  for (const unit of [4, 2]) {
    const offsets = powers.slice(1).map((power) => power * unit)
    const taps = offsetsOf(fold, `taps${unit}`)
    const same = sorted(taps).join() === sorted(offsets).join()
    expect(same, `taps${unit} reads at ${taps.join()} and not at ${sorted(offsets).join()}`)
    const [store] = storesOf(fold, `divideBy${unit}`)
    expect(
      store === degree * unit,
      `divideBy${unit} stores at ${store} and not at ${degree * unit}`,
    )
    const gap = (degree - powers[1]!) * unit
    expect(gap >= 32, `with units of ${unit} two vectors at once need their own results`)
  }
  return wrong
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b)

function reflected(polynomial: number): number {
  let result = 0
  for (let bit = 0; bit < 32; bit++) {
    if ((polynomial >>> bit) & 1) result |= 1 << (31 - bit)
  }
  return result >>> 0
}

/** Of the line `Q = x^104 + … + 1`, falling. */
function exponentsOf(source: string): number[] {
  const line = /Q = (.* \+ 1)\s/.exec(source)?.[1] ?? ''
  return [...line.matchAll(/x\^(\d+)/g)].map(([, power]) => Number(power)).concat(0)
}

/** x^0 … x^degree modulo the polynomial. */
function remainders(degree: number): number[] {
  const powers = [1]
  while (powers.length <= degree) {
    const last = powers.at(-1)!
    powers.push(((last << 1) ^ (last & 0x80000000 ? CASTAGNOLI : 0)) | 0)
  }
  return powers
}

/**
 * The fewest terms of any multiple with x^0 and no higher power than those given, 8 when no fewer: the
 * sums of two powers, and of three, that are equal to others. An odd number is none, for x + 1 divides
 * the polynomial.
 */
function lightestWeight(powers: readonly number[]): number {
  const pairs = new Set<number>()
  for (let a = 1; a < powers.length; a++) {
    for (let b = a + 1; b < powers.length; b++) pairs.add(powers[a]! ^ powers[b]!)
  }
  for (let a = 1; a < powers.length; a++) if (pairs.has(powers[a]! ^ powers[0]!)) return 4
  const triples = new Set<number>()
  for (let a = 1; a < powers.length; a++) {
    for (let b = a + 1; b < powers.length; b++) {
      for (let c = b + 1; c < powers.length; c++) triples.add(powers[a]! ^ powers[b]! ^ powers[c]!)
    }
  }
  for (const pair of pairs) if (triples.has(pair ^ powers[0]!)) return 6
  return 8
}

function bodyOf(source: string, name: string): string {
  const start = source.indexOf(`function ${name}(`)
  return source.slice(start, source.indexOf('\n}', start))
}

function offsetsOf(source: string, name: string): number[] {
  const loads = bodyOf(source, name).matchAll(/v128\.load\(h(?:, (\d+))?\)/g)
  return [...loads].map(([, offset]) => Number(offset ?? 0))
}

function storesOf(source: string, name: string): number[] {
  return [...bodyOf(source, name).matchAll(/, (\d+)\)\n/g)].map(([, offset]) => Number(offset))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wrong = differences(readSources())
  for (const sentence of wrong) console.error(sentence)
  if (wrong.length === 0) console.log('the constants of CRC-32C are what the polynomial says')
  process.exitCode = wrong.length === 0 ? 0 : 1
}
