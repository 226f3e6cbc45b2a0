// Runs a decoder of the kernel between canaries.

import { SEAL, SEAL_BYTES, TAILS, TAILS_BYTES } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'

export type Decoder = 'zstdUnframe' | 'snappyDecode' | 'lz4Unframe'

const CANARY = Buffer.alloc(64, 0xa5)

/** Where the output begins: 64 bytes into TAILS. */
const OUTPUT = TAILS + CANARY.length
/** The greatest capacity there is room for. */
export const MOST_CAPACITY = TAILS_BYTES - 2 * CANARY.length

export class DecodeWindow {
  readonly #kernel: Kernel

  constructor(kernel = new Kernel()) {
    this.#kernel = kernel
    kernel.u8.set(CANARY, TAILS)
  }

  /** The length written or a status; throws when a byte outside the window has changed. */
  status(decoder: Decoder, frame: Uint8Array, capacity = MOST_CAPACITY): number {
    const { u8, buffer } = this.#kernel
    if (frame.length > SEAL_BYTES) throw new RangeError('the frame is larger than its window')
    u8.set(frame, SEAL)
    const end = OUTPUT + capacity
    u8.set(CANARY, end)
    const status = this.#kernel[decoder](SEAL, frame.length, OUTPUT, capacity)
    if (!isCanary(buffer, TAILS)) throw new Error('written before the window')
    if (!isCanary(buffer, end)) throw new Error(`written behind ${capacity} bytes`)
    return status
  }

  /** The bytes, or a status. */
  decode(decoder: Decoder, frame: Uint8Array, capacity = MOST_CAPACITY): Buffer | number {
    const status = this.status(decoder, frame, capacity)
    return status < 0 ? status : Buffer.from(this.output(status))
  }

  /** What was written last, not copied. */
  output(length: number): Buffer {
    return this.#kernel.buffer.subarray(OUTPUT, OUTPUT + length)
  }
}

function isCanary(buffer: Buffer, at: number): boolean {
  return buffer.compare(CANARY, 0, CANARY.length, at, at + CANARY.length) === 0
}
