// The kernel for bytes that lie on the JavaScript heap: copy in, call, copy out.
//
// - Works in the kernel's SCRATCH window; nothing there outlives a call.
// - What does not fit there (frames that inflate beyond 2 MiB: rare) runs in a second kernel, made at
//   the first need, whose 24 MiB of tails serve as the window. Beyond that, OUT_OF_ROOM.

import {
  OUT_OF_ROOM,
  SCRATCH,
  SCRATCH_BYTES,
  SLACK,
  TAILS,
  TAILS_BYTES,
} from './assembly/limits.ts'
import { Kernel } from './kernel.ts'

/** A frame's header, end mark and the size word of each 64 KiB, at most. */
const frameBound = (length: number): number => length + 11 + 4 * Math.ceil(length / 0x10000)

export class Codecs {
  readonly kernel: Kernel
  #wide: Kernel | undefined

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }

  crc32c(bytes: Uint8Array): number {
    return this.crcUpdate(0, bytes)
  }

  /** Continues a finished CRC over more bytes, of any length. */
  crcUpdate(crc: number, bytes: Uint8Array): number {
    const { kernel } = this
    for (let position = 0; position < bytes.length; position += SCRATCH_BYTES) {
      const piece = bytes.subarray(position, position + SCRATCH_BYTES)
      kernel.u8.set(piece, SCRATCH)
      crc = kernel.crcUpdate(crc, SCRATCH, piece.length)
    }
    return crc >>> 0
  }

  /** An LZ4 frame; at most 12 MiB of input. */
  lz4Compress(bytes: Uint8Array): Buffer {
    const { kernel, start, room } = this.#window(bytes.length + frameBound(bytes.length))
    const target = start + bytes.length + SLACK
    if (target + frameBound(bytes.length) > start + room) {
      throw new RangeError(`${bytes.length} bytes are too many for one LZ4 frame`)
    }
    kernel.u8.set(bytes, start)
    const written = kernel.lz4Frame(start, bytes.length, target, frameBound(bytes.length))
    return Buffer.from(kernel.u8.subarray(target, target + written))
  }

  /** The contents of one LZ4 frame, or OUT_OF_ROOM (more than `maxBytes`), CORRUPT, UNSUPPORTED. */
  lz4Decompress(bytes: Uint8Array, maxBytes: number): Buffer | number {
    let output = this.#inflate(this.#window(0), bytes, maxBytes)
    if (output === OUT_OF_ROOM && bytes.length + SLACK + maxBytes > SCRATCH_BYTES) {
      output = this.#inflate(this.#window(SCRATCH_BYTES), bytes, maxBytes)
    }
    return output
  }

  /** Checks encoded records: a status of the kernel, and the greatest timestamp delta when it is 0. */
  scanRecords(records: Uint8Array, count: number): { status: number; maxTimestampDelta: number } {
    const { kernel, start, room } = this.#window(records.length)
    if (records.length > room) return { status: OUT_OF_ROOM, maxTimestampDelta: 0 }
    kernel.u8.set(records, start)
    const status = kernel.scanRecords(start, records.length, count)
    return { status, maxTimestampDelta: status === 0 ? kernel.scanMaxTimestamp() : 0 }
  }

  /** `scanRecords` of what an LZ4 frame holds, without copying that out: the status of either. */
  scanLz4Records(frame: Uint8Array, count: number): number {
    const { kernel, start, room } = this.#window(0)
    const target = start + frame.length + SLACK
    if (target >= start + room) return OUT_OF_ROOM
    kernel.u8.set(frame, start)
    const length = kernel.lz4Unframe(start, frame.length, target, start + room - target)
    return length < 0 ? length : kernel.scanRecords(target, length, count)
  }

  #inflate(window: Window, bytes: Uint8Array, maxBytes: number): Buffer | number {
    const { kernel, start, room } = window
    const left = room - bytes.length - SLACK
    if (left < 0) return OUT_OF_ROOM
    kernel.u8.set(bytes, start)
    const target = start + bytes.length + SLACK
    const written = kernel.lz4Unframe(start, bytes.length, target, Math.min(left, maxBytes))
    if (written < 0) return written
    return Buffer.from(kernel.u8.subarray(target, target + written))
  }

  #window(bytes: number): Window {
    if (bytes + SLACK <= SCRATCH_BYTES) {
      return { kernel: this.kernel, start: SCRATCH, room: SCRATCH_BYTES }
    }
    this.#wide ??= new Kernel()
    return { kernel: this.#wide, start: TAILS, room: TAILS_BYTES }
  }
}

interface Window {
  kernel: Kernel
  start: number
  room: number
}
