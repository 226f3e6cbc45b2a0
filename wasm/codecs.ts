// The kernel for bytes that lie on the JavaScript heap: copy in, call, copy out.
//
// - Works in the kernel's SCRATCH window; nothing there outlives a call.
// - What does not fit there (frames that inflate beyond 2 MiB: rare) runs in a second kernel, made at
//   the first need, whose 24 MiB of tails serve as the window. Beyond that, OUT_OF_ROOM.

import {
  BATCH_CRC_FROM,
  BATCH_HEADER_BYTES,
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_SNAPPY,
  CODEC_ZSTD,
  CORRUPT,
  OUT_OF_ROOM,
  SCRATCH,
  SCRATCH_BYTES,
  SLACK,
  TAILS,
  TAILS_BYTES,
  UNSUPPORTED,
} from './assembly/limits.ts'
import { Kernel } from './kernel.ts'

/** From one window of a kernel to another; bytes written, or a status. */
type Coder = (kernel: Kernel, src: number, length: number, dst: number, capacity: number) => number

/** Who inflates what, by the codec of a batch's attributes. */
const DECODERS: Partial<Record<number, Coder>> = {
  [CODEC_SNAPPY]: (kernel, ...args) => kernel.snappyDecode(...args),
  [CODEC_LZ4]: (kernel, ...args) => kernel.lz4Unframe(...args),
  [CODEC_ZSTD]: (kernel, ...args) => kernel.zstdUnframe(...args),
}

const ENCODERS: Record<WrittenCodec, Coder> = {
  [CODEC_LZ4]: (kernel, ...args) => kernel.lz4Frame(...args),
  [CODEC_ZSTD]: (kernel, ...args) => kernel.zstdFrame(...args),
}

/** The codecs that the kernel writes. */
export type WrittenCodec = typeof CODEC_LZ4 | typeof CODEC_ZSTD

/** What a batch's header says of it. */
interface BatchClaims {
  crc: number
  codec: number
  count: number
}

/** What one pass over a batch has found. */
export interface BatchScan {
  crc: number
  /** Bytes of the records when decompressed, or the decoder's status: CORRUPT behind a wrong CRC. */
  inflated: number
  /** 0 when they are exactly as many good records as the header says, or a status. */
  status: number
  /** 0 when the status is not. */
  maxTimestampDelta: number
}

/** Of either codec, at most: header, end mark, what goes before each 64 KiB, and what writers look ahead. */
const frameBound = (length: number): number => length + 50 + 4 * Math.ceil(length / 0x10000)

const fitsScratch = (bytes: number): boolean => bytes + SLACK <= SCRATCH_BYTES

const inflate = (codec: number, ...args: Parameters<Coder>): number =>
  DECODERS[codec]?.(...args) ?? UNSUPPORTED

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

  /** One frame; at most 11 MiB of input. */
  compress(codec: WrittenCodec, bytes: Uint8Array): Buffer {
    const bound = frameBound(bytes.length)
    const { kernel, start, room } = this.#window(bytes.length + SLACK + bound)
    const target = start + bytes.length + SLACK
    if (target + bound > start + room) {
      throw new RangeError(`${bytes.length} bytes are too many for one frame`)
    }
    kernel.u8.set(bytes, start)
    const written = ENCODERS[codec](kernel, start, bytes.length, target, bound)
    return Buffer.from(kernel.u8.subarray(target, target + written))
  }

  /**
   * What `bytes` hold in a codec of a batch's attributes, or OUT_OF_ROOM (more than `maxBytes`),
   * CORRUPT, UNSUPPORTED.
   */
  decompress(codec: number, bytes: Uint8Array, maxBytes: number): Buffer | number {
    let output = this.#decompress(this.#window(0), codec, bytes, maxBytes)
    if (output === OUT_OF_ROOM && !fitsScratch(bytes.length + maxBytes)) {
      output = this.#decompress(this.#window(SCRATCH_BYTES), codec, bytes, maxBytes)
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

  /**
   * A whole batch in one pass, copied in once and nothing of it copied out: its CRC, then its records
   * inflated and scanned. Behind a wrong CRC they are not looked at.
   */
  scanBatch(batch: Uint8Array, claims: BatchClaims, maxBytes: number): BatchScan {
    let scan = this.#scanBatch(this.#window(batch.length), batch, claims, maxBytes)
    if (scan.inflated === OUT_OF_ROOM && !fitsScratch(batch.length + maxBytes)) {
      scan = this.#scanBatch(this.#window(SCRATCH_BYTES), batch, claims, maxBytes)
    }
    return scan
  }

  #scanBatch(
    { kernel, start, room }: Window,
    batch: Uint8Array,
    claims: BatchClaims,
    maxBytes: number,
  ): BatchScan {
    if (batch.length + SLACK > room) {
      const crc = this.crc32c(batch.subarray(BATCH_CRC_FROM))
      return { crc, inflated: OUT_OF_ROOM, status: OUT_OF_ROOM, maxTimestampDelta: 0 }
    }
    kernel.u8.set(batch, start)
    const crc = kernel.crc32c(start + BATCH_CRC_FROM, batch.length - BATCH_CRC_FROM)
    const packed = start + BATCH_HEADER_BYTES
    const size = batch.length - BATCH_HEADER_BYTES
    let [records, inflated] = [packed, size]
    if (crc !== claims.crc) inflated = CORRUPT
    else if (claims.codec !== CODEC_NONE) {
      records = packed + size + SLACK
      const capacity = Math.min(start + room - records, maxBytes)
      inflated = inflate(claims.codec, kernel, packed, size, records, capacity)
    }
    const status = inflated < 0 ? inflated : kernel.scanRecords(records, inflated, claims.count)
    const maxTimestampDelta = status === 0 ? kernel.scanMaxTimestamp() : 0
    return { crc, inflated, status, maxTimestampDelta }
  }

  #decompress(
    { kernel, start, room }: Window,
    codec: number,
    bytes: Uint8Array,
    maxBytes: number,
  ): Buffer | number {
    const target = start + bytes.length + SLACK
    if (target > start + room) return OUT_OF_ROOM
    kernel.u8.set(bytes, start)
    const capacity = Math.min(start + room - target, maxBytes)
    const written = inflate(codec, kernel, start, bytes.length, target, capacity)
    return written < 0 ? written : Buffer.from(kernel.u8.subarray(target, target + written))
  }

  #window(bytes: number): Window {
    if (fitsScratch(bytes)) {
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
