// The two parts of the kernel's INGRESS window: the chunk being read, and what is staged beside it.
//
//   CHUNK  socket bytes, copied there once; values are appended from where they lie
//   STAGE  keys, headers and replaced values; starts again with every chunk
//
// Both belong to whoever handles a chunk, and only while it does: that is synchronous, and an append
// has taken what it needs when it returns.

import { INGRESS, INGRESS_BYTES } from '../../wasm/assembly/limits.ts'

const STAGE_BYTES = 0x30000
export const CHUNK = INGRESS
export const CHUNK_BYTES = INGRESS_BYTES - STAGE_BYTES
const STAGE = CHUNK + CHUNK_BYTES
const STAGE_END = STAGE + STAGE_BYTES

/** The largest value of mqtt.maxPacketSize: a packet and the read that ends it share CHUNK. */
export const PACKET_SIZE_MAX = 0xb0000

export class Staging {
  readonly #u8: Uint8Array
  #next = STAGE
  /** Grows whenever what was staged is gone. */
  epoch = 1

  constructor(u8: Uint8Array) {
    this.#u8 = u8
  }

  reset(): void {
    this.#next = STAGE
    this.epoch++
  }

  /** Makes room for `length` bytes, forgetting what is staged when they do not fit beside it. */
  reserve(length: number): boolean {
    if (this.#next + length <= STAGE_END) return true
    this.reset()
    return STAGE + length <= STAGE_END
  }

  /** Copies bytes that `reserve` made room for; returns where they lie. */
  put(bytes: Uint8Array): number {
    const at = this.#next
    this.#u8.set(bytes, at)
    this.#next = at + bytes.length
    return at
  }
}
