// A payload that looks like a frame of the journal. Whoever publishes may send any bytes, at any place
// of a sector, but nobody outside knows the salt of a file: what he makes must never come alive.

import { FRAME_HEADER_BYTES, FRAME_MAGIC, SECTOR_BYTES } from '../../agent/log/journal.ts'
import {
  PUT_HEADER_BYTES,
  stateEntryBytes,
  writeStateEntry,
} from '../../agent/log/journal-entry.ts'
import { decodeJournalHeader, readFrames } from '../../agent/log/journal-reader.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Life } from './life.ts'

/** What a forger may guess, and what a salt that is no salt would be. */
export const GUESSED_SALT = 1
const KEY = 'forged'
/** An id that nobody has held: the simulation sees when it is there. */
const FORGED_ENTRY = ['held/forged', Buffer.from('nowhere 0')] as const
const SECTORS = 5
const kernel = new Kernel()
const codecs = new Codecs(kernel)

/** Commits it in a frame of its own, and as a rule the power goes while that is written. */
export async function forge(life: Life): Promise<void> {
  const { log, extra: forger } = life
  // Nothing else is to stand before it in its frame.
  await life.progress(durable(life))
  const bytes = forger.bytes(SECTORS * SECTOR_BYTES)
  const start = FRAME_HEADER_BYTES + PUT_HEADER_BYTES + KEY.length
  const sector = 1 + forger.below(SECTORS - 1)
  forgedFrame(lastSequence(life) + 2, forger).copy(bytes, sector * SECTOR_BYTES - start)
  log.state.put(KEY, bytes)
  life.count('forged')
  if (forger.chance(0.7)) life.crashSoon(5)
  await life.progress(durable(life))
}

function durable({ log }: Life): Promise<void> {
  const number = log.openCommit
  log.requestCommit()
  return log.durable(number)
}

/** Random where nobody looks: what LZ4 makes smaller does not stay where it was put. */
function forgedFrame(sequence: number, random: SeededRandom): Buffer {
  const length = stateEntryBytes(...FORGED_ENTRY)
  const frame = random.bytes(FRAME_HEADER_BYTES + length)
  frame.writeUInt32BE(FRAME_MAGIC, 0)
  frame.writeUInt32BE(GUESSED_SALT, 12)
  frame.writeBigInt64BE(BigInt(sequence), 16)
  frame.writeUInt32BE(length, 24)
  frame.writeUInt32BE(length, 28)
  frame.writeBigInt64BE(BigInt(1 + random.below(2 ** 40)), 32)
  frame.writeUInt8(0, 40)
  writeStateEntry(frame, FRAME_HEADER_BYTES, ...FORGED_ENTRY)
  frame.writeUInt32BE(codecs.crc32c(frame.subarray(8)), 4)
  return frame
}

/** Of all frames on the disk: the forger knows how far the numbers are. */
function lastSequence({ fs }: Life): number {
  let last = 0
  for (const path of fs.paths().filter((path) => path.includes('/journal-'))) {
    const bytes = fs.contents(path)
    const header = decodeJournalHeader(kernel, bytes.subarray(0, SECTOR_BYTES))
    if (header.kind !== 'header') continue
    for (const outcome of readFrames(kernel, bytes, header, { withPayload: false })) {
      if (outcome.kind === 'frame') last = Math.max(last, outcome.frame.sequence)
    }
  }
  return last
}
