// The same topic ids and lineages in every run of a seed: they are in the journal, and what compresses
// to another size makes another life.

import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { SeededRandom } from '../support/seeded-random.ts'

export function seedIds(seed: number): void {
  const random = new SeededRandom(seed ^ 0x1d5)
  crypto.randomUUID = () => {
    const hex = random.bytes(16).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
  }
  syncBuiltinESMExports()
}
