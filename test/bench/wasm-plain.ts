// What one would write without kernels: records by plain JavaScript into one buffer that stays, and read
// where they lie; LZ4 and CRC-32C by native add-ons.

import type { Peers } from './wasm-peers.ts'

const HEADER_BYTES = 61

export class PlainBatch {
  readonly #lz4: NonNullable<Peers['lz4Napi']>
  readonly #crc: NonNullable<Peers['nodeRs']>
  readonly #records = Buffer.alloc(1 << 20)
  #end = 0
  /** What is being read, and where. */
  #bytes: Buffer = this.#records
  #at = 0

  constructor(lz4: NonNullable<Peers['lz4Napi']>, crc: NonNullable<Peers['nodeRs']>) {
    this.#lz4 = lz4
    this.#crc = crc
  }

  /** A batch with one record a millisecond, all with this key. */
  seal(values: readonly Buffer[], key: Buffer, start: number): Buffer {
    this.#end = 0
    for (let i = 0; i < values.length; i++) this.#record(i, i, key, values[i]!)
    const packed = this.#lz4.compressFrameSync(this.#records.subarray(0, this.#end))
    const batch = Buffer.allocUnsafe(HEADER_BYTES + packed.length)
    packed.copy(batch, HEADER_BYTES)
    const last = values.length - 1
    batch.writeBigInt64BE(0n, 0)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(0, 12)
    batch[16] = 2
    batch.writeInt16BE(3, 21)
    batch.writeInt32BE(last, 23)
    batch.writeBigInt64BE(BigInt(start), 27)
    batch.writeBigInt64BE(BigInt(start + last), 35)
    batch.fill(0xff, 43, 57)
    batch.writeInt32BE(values.length, 57)
    batch.writeUInt32BE(this.#crc.crc32c(batch.subarray(21)), 17)
    return batch
  }

  /** Whether CRC, count, lengths and deltas of a sealed batch are right. */
  check(batch: Buffer): boolean {
    if (this.#crc.crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) return false
    this.#bytes = this.#lz4.decompressFrameSync(batch.subarray(HEADER_BYTES))
    this.#at = 0
    const count = batch.readInt32BE(57)
    for (let i = 0; i < count; i++) {
      const size = this.#read()
      const end = this.#at + size
      if (size <= 0 || end > this.#bytes.length || this.#bytes[this.#at++] !== 0) return false
      this.#read()
      if (this.#read() !== i) return false
      for (let field = 0; field < 2; field++) {
        const length = this.#read()
        this.#at += Math.max(0, length)
      }
      if (this.#read() !== 0 || this.#at !== end) return false
    }
    return this.#at === this.#bytes.length
  }

  #read(): number {
    let [z, shift, byte] = [0, 0, 0x80]
    while (byte > 0x7f && shift < 32) {
      byte = this.#bytes[this.#at++] ?? 0
      z |= (byte & 0x7f) << shift
      shift += 7
    }
    return (z >>> 1) ^ -(z & 1)
  }

  #record(offsetDelta: number, timestampDelta: number, key: Buffer, value: Buffer): void {
    const body =
      2 +
      size(timestampDelta) +
      size(offsetDelta) +
      size(key.length) +
      key.length +
      size(value.length) +
      value.length
    this.#varint(body)
    this.#records[this.#end++] = 0
    this.#varint(timestampDelta)
    this.#varint(offsetDelta)
    this.#put(key)
    this.#put(value)
    this.#records[this.#end++] = 0
  }

  #put(bytes: Buffer): void {
    this.#varint(bytes.length)
    this.#records.set(bytes, this.#end)
    this.#end += bytes.length
  }

  #varint(value: number): void {
    let z = value << 1
    for (; z > 0x7f; z >>>= 7) this.#records[this.#end++] = z | 0x80
    this.#records[this.#end++] = z
  }
}

/** Bytes of a varint, zig-zag included. */
function size(value: number): number {
  return value < 64 ? 1 : value < 8192 ? 2 : value < 1_048_576 ? 3 : 4
}
