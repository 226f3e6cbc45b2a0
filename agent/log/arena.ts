// Slots for tails in the fixed WASM memory: 4, 16, 64 and 256 KiB, out of blocks of 256 KiB.
//
// A block serves one slot size at a time and is free for any size again when its last slot is.
// Nothing here touches memory; a slot is its address.

import { assert } from '../base/assert.ts'

/** Ascending; a tail grows from one to the next by copy. */
export const SLOT_SIZES = [4096, 16384, 65536, 262144] as const
export const BLOCK_BYTES = SLOT_SIZES[3]
/** Kernels may write up to this far behind what they report; no slot is filled to its last bytes. */
export const SLOT_SLACK = 64

interface Block {
  slotBytes: number
  usedSlots: number
}

export class Arena {
  readonly #start: number
  readonly #blocks: Block[]
  /** Free slots by size; slots of wholly free blocks are in `#freeBlocks` only. */
  readonly #freeSlots = new Map<number, Set<number>>()
  readonly #freeBlocks: number[] = []
  #usedBytes = 0

  /** `start` and `bytes` describe the region; only whole blocks of it are used. */
  constructor(start: number, bytes: number) {
    this.#start = start
    this.#blocks = Array.from({ length: Math.floor(bytes / BLOCK_BYTES) }, () => ({
      slotBytes: 0,
      usedSlots: 0,
    }))
    for (let index = this.#blocks.length - 1; index >= 0; index--) this.#freeBlocks.push(index)
    for (const size of SLOT_SIZES) this.#freeSlots.set(size, new Set())
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get bytes(): number {
    return this.#blocks.length * BLOCK_BYTES
  }

  /** Blocks from which a slot of any size can still be had. */
  get freeBlocks(): number {
    return this.#freeBlocks.length
  }

  /** The smallest slot size that holds `bytes` and the slack, or undefined when none does. */
  static slotSizeFor(bytes: number): number | undefined {
    return SLOT_SIZES.find((size) => size - SLOT_SLACK >= bytes)
  }

  /** The address of a slot of exactly `slotBytes`, or -1 when the arena has none left. */
  allocate(slotBytes: number): number {
    const free = this.#freeSlots.get(slotBytes)
    assert(free !== undefined, 'slot sizes are fixed')
    if (free.size === 0 && !this.#split(slotBytes, free)) return -1
    const slot = free.values().next().value!
    free.delete(slot)
    this.#blockOf(slot).usedSlots++
    this.#usedBytes += slotBytes
    return slot
  }

  release(slot: number, slotBytes: number): void {
    const block = this.#blockOf(slot)
    assert(block.slotBytes === slotBytes && block.usedSlots > 0, 'a slot is released once')
    block.usedSlots--
    this.#usedBytes -= slotBytes
    const free = this.#freeSlots.get(slotBytes)!
    if (block.usedSlots > 0) {
      free.add(slot)
      return
    }
    const index = Math.floor((slot - this.#start) / BLOCK_BYTES)
    const base = this.#start + index * BLOCK_BYTES
    for (let at = base; at < base + BLOCK_BYTES; at += slotBytes) free.delete(at)
    this.#freeBlocks.push(index)
  }

  #split(slotBytes: number, free: Set<number>): boolean {
    const index = this.#freeBlocks.pop()
    if (index === undefined) return false
    this.#blocks[index]!.slotBytes = slotBytes
    const base = this.#start + index * BLOCK_BYTES
    for (let at = base; at < base + BLOCK_BYTES; at += slotBytes) free.add(at)
    return true
  }

  #blockOf(slot: number): Block {
    const block = this.#blocks[Math.floor((slot - this.#start) / BLOCK_BYTES)]
    assert(block !== undefined, 'a slot lies in the arena')
    return block
  }
}
