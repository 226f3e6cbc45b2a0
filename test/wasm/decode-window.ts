// Runs a decoder of the kernel between canaries, on a frame that ends as near to the end of the memory
// as a kernel may read behind a source: whatever reads farther, traps.

import { MEMORY_BYTES, TAILS } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'

export type Decoder = 'zstdUnframe' | 'snappyDecode' | 'lz4Unframe'

const CANARY = Buffer.alloc(64, 0xa5)

/** Where the output begins: 64 bytes into TAILS. */
const OUTPUT = TAILS + CANARY.length
const MOST_FRAME = 0x200000
/** Sources lie between here and the end of the memory. */
export const SOURCES = MEMORY_BYTES - MOST_FRAME
/** The greatest capacity there is room for. */
const MOST_CAPACITY = SOURCES - OUTPUT - CANARY.length
/** As many bytes behind a source may be read. */
const READ_BEHIND = 15

/** Puts bytes where reading too far behind them traps; their address. */
export function atTheEnd(kernel: Kernel, bytes: Uint8Array): number {
  const at = MEMORY_BYTES - READ_BEHIND - bytes.length
  if (at < SOURCES) throw new RangeError('too many bytes for a source')
  kernel.u8.set(bytes, at)
  return at
}

export class DecodeWindow {
  readonly #kernel: Kernel

  constructor(kernel = new Kernel()) {
    this.#kernel = kernel
    kernel.u8.set(CANARY, TAILS)
  }

  /** The length written or a status; throws when a byte outside the window has changed. */
  status(decoder: Decoder, frame: Uint8Array, capacity = MOST_CAPACITY): number {
    const { u8, buffer } = this.#kernel
    const source = atTheEnd(this.#kernel, frame)
    const end = OUTPUT + capacity
    u8.set(CANARY, end)
    const status = this.#kernel[decoder](source, frame.length, OUTPUT, capacity)
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
