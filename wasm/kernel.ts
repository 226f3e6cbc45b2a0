// The host side of the kernel: one compiled module a process, one memory and instance per Kernel.
//
// - Everything is synchronous: the hot path has no await.
// - The memory has its full size from the start (`assembly/limits.ts` maps it), so the views below
//   stay valid for ever and may be handed to sockets and files.
// - Kernels return lengths or a negative status of limits.ts; they never throw on any input.
//   Pointers are the caller's responsibility: a window is only as good as the numbers given.

import { readFileSync } from 'node:fs'
import { CODEC_LZ4, CODEC_ZSTD, INGRESS, SEAL, TAILS } from './assembly/limits.ts'

/** The little of the WebAssembly API that is used; Node's types leave it to the DOM library. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Instance {
    constructor(module: Module)
    readonly exports: unknown
  }
  interface Memory {
    readonly buffer: ArrayBuffer
  }
  function validate(bytes: Uint8Array): boolean
}

interface KernelExports {
  memory: WebAssembly.Memory
  init(): void
  crc32c(ptr: number, length: number): number
  crcUpdate(crc: number, ptr: number, length: number): number
  crcCombine(crcA: number, crcB: number, lengthB: number): number
  crcPatch(crc: number, delta: number, length: number, after: number): number
  xxh32(ptr: number, length: number): number
  lz4Frame(src: number, length: number, dst: number, capacity: number): number
  lz4Unframe(src: number, length: number, dst: number, capacity: number): number
  zstdUnframe(src: number, length: number, dst: number, capacity: number): number
  snappyDecode(src: number, length: number, dst: number, capacity: number): number
  zstdFrame(src: number, length: number, dst: number, capacity: number): number
  encodeRecord(
    dst: number,
    capacity: number,
    offsetDelta: number,
    timestampDelta: number,
    key: number,
    keyLength: number,
    value: number,
    valueLength: number,
    headers: number,
    headersLength: number,
    headersCount: number,
  ): number
  findRecord(ptr: number, length: number, offsetDelta: number): number
  scanRecords(ptr: number, length: number, count: number): number
  scanMaxTimestamp(): number
  sealBatch(
    records: number,
    length: number,
    dst: number,
    capacity: number,
    codec: number,
    baseOffset: number,
    lastOffsetDelta: number,
    baseTimestamp: number,
    maxTimestamp: number,
    count: number,
  ): number
  searchOffsetIndex(ptr: number, entryCount: number, relativeOffset: number): number
  searchTimeIndex(ptr: number, entryCount: number, timestamp: number): number
}

/** A module of one function with one SIMD instruction. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0],
  ...[65, 0, 253, 15, 253, 98, 11],
)

const WARM_RECORDS = 40
const WARM_BYTES = 8192
const WARM_ROUNDS = 64

let compiled: WebAssembly.Module | undefined

function compile(): WebAssembly.Module {
  if (!WebAssembly.validate(SIMD_PROBE)) {
    throw new Error(
      'this processor or Node has no WebAssembly SIMD: Tributary needs x86-64 with SSE4.1 or 64-bit ARM',
    )
  }
  // Beside this file, both as source and as built into dist/wasm.
  const url = new URL('./kernel.wasm', import.meta.url)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(url)
  } catch (cause) {
    throw new Error(`${url.pathname} cannot be read: run npm run build:wasm`, { cause })
  }
  return new WebAssembly.Module(bytes)
}

export class Kernel {
  readonly memory: WebAssembly.Memory
  /** The whole memory, as bytes, as a Buffer and as a DataView: made once, never detached. */
  readonly u8: Uint8Array
  readonly buffer: Buffer
  readonly view: DataView
  readonly #exports: KernelExports

  constructor() {
    compiled ??= compile()
    this.#exports = new WebAssembly.Instance(compiled).exports as KernelExports
    this.memory = this.#exports.memory
    this.u8 = new Uint8Array(this.memory.buffer)
    this.buffer = Buffer.from(this.memory.buffer)
    this.view = new DataView(this.memory.buffer)
    this.#exports.init()
  }

  /**
   * Seals made-up records until V8 has compiled the kernels well: the first batch of a process takes
   * milliseconds otherwise. About 10 ms. Works in INGRESS, TAILS and SEAL, before anybody else does.
   */
  warmUp(): void {
    const value = '{"device":"th-00","ts":1763870000156,"seq":84549,"temp":21.39,"humidity":48.2}'
    this.buffer.write(value, INGRESS, 'latin1')
    let length = 0
    for (let i = 0; i < WARM_RECORDS; i++) {
      this.u8[INGRESS + 16 + (i % 40)] = 48 + (i % 10)
      const room = WARM_BYTES - length
      const none = [TAILS, 0] as const
      const record = [INGRESS, value.length, TAILS, 0, 0] as const
      length += this.encodeRecord(TAILS + length, room, i, i, ...none, ...record)
    }
    for (let round = 0; round < WARM_ROUNDS; round++) {
      for (const codec of [CODEC_ZSTD, CODEC_LZ4]) {
        this.sealBatch(
          TAILS,
          length,
          SEAL,
          WARM_BYTES,
          codec,
          0,
          WARM_RECORDS - 1,
          0,
          0,
          WARM_RECORDS,
        )
      }
      this.scanRecords(TAILS, length, WARM_RECORDS)
    }
    for (const region of [INGRESS, TAILS, SEAL]) this.u8.fill(0, region, region + WARM_BYTES)
  }

  crc32c(ptr: number, length: number): number {
    return this.#exports.crc32c(ptr, length) >>> 0
  }

  /** Continues a finished CRC: crcUpdate(0, p, n) is crc32c(p, n). */
  crcUpdate(crc: number, ptr: number, length: number): number {
    return this.#exports.crcUpdate(crc, ptr, length) >>> 0
  }

  /** The CRC of two stretches, from the CRC of each. */
  crcCombine(crcA: number, crcB: number, lengthB: number): number {
    return this.#exports.crcCombine(crcA, crcB, lengthB) >>> 0
  }

  /** The CRC after `length` bytes changed by XOR with those at `delta`, `after` bytes before the end. */
  crcPatch(crc: number, delta: number, length: number, after: number): number {
    return this.#exports.crcPatch(crc, delta, length, after) >>> 0
  }

  xxh32(ptr: number, length: number): number {
    return this.#exports.xxh32(ptr, length) >>> 0
  }

  /** An LZ4 frame of independent blocks: bytes written, or OUT_OF_ROOM. */
  lz4Frame(src: number, length: number, dst: number, capacity: number): number {
    return this.#exports.lz4Frame(src, length, dst, capacity)
  }

  /** Bytes written, or OUT_OF_ROOM, CORRUPT, UNSUPPORTED. */
  lz4Unframe(src: number, length: number, dst: number, capacity: number): number {
    return this.#exports.lz4Unframe(src, length, dst, capacity)
  }

  /** The contents of zstd frames: bytes written, or OUT_OF_ROOM, CORRUPT, UNSUPPORTED. */
  zstdUnframe(src: number, length: number, dst: number, capacity: number): number {
    return this.#exports.zstdUnframe(src, length, dst, capacity)
  }

  /** The contents of a snappy block or xerial stream: bytes written, or a status as above. */
  snappyDecode(src: number, length: number, dst: number, capacity: number): number {
    return this.#exports.snappyDecode(src, length, dst, capacity)
  }

  /** A zstd frame: bytes written, or OUT_OF_ROOM. */
  zstdFrame(src: number, length: number, dst: number, capacity: number): number {
    return this.#exports.zstdFrame(src, length, dst, capacity)
  }

  /**
   * One record of a v2 batch: bytes written, its length varint included, or OUT_OF_ROOM. A length of
   * −1 is null; `headers` are encoded already, without their count.
   */
  encodeRecord(
    dst: number,
    capacity: number,
    offsetDelta: number,
    timestampDelta: number,
    key: number,
    keyLength: number,
    value: number,
    valueLength: number,
    headers: number,
    headersLength: number,
    headersCount: number,
  ): number {
    return this.#exports.encodeRecord(
      dst,
      capacity,
      offsetDelta,
      timestampDelta,
      key,
      keyLength,
      value,
      valueLength,
      headers,
      headersLength,
      headersCount,
    )
  }

  /** Position of the first record with at least this offset delta, `length` if none, or CORRUPT. */
  findRecord(ptr: number, length: number, offsetDelta: number): number {
    return this.#exports.findRecord(ptr, length, offsetDelta)
  }

  /** 0 when exactly `count` good records with deltas 0…count−1 fill the window, else a status. */
  scanRecords(ptr: number, length: number, count: number): number {
    return this.#exports.scanRecords(ptr, length, count)
  }

  /** Greatest timestamp delta seen by the last scanRecords that returned 0. */
  scanMaxTimestamp(): number {
    return this.#exports.scanMaxTimestamp()
  }

  /**
   * A whole v2 batch from encoded records, CRC included: its bytes, or a status. Stored uncompressed
   * when the codec does not make it smaller. Producer id, epoch and sequence are −1, the leader epoch 0.
   */
  sealBatch(
    records: number,
    length: number,
    dst: number,
    capacity: number,
    codec: number,
    baseOffset: number,
    lastOffsetDelta: number,
    baseTimestamp: number,
    maxTimestamp: number,
    count: number,
  ): number {
    return this.#exports.sealBatch(
      records,
      length,
      dst,
      capacity,
      codec,
      baseOffset,
      lastOffsetDelta,
      baseTimestamp,
      maxTimestamp,
      count,
    )
  }

  /** Last entry of an offset index with relative offset ≤ this one, or −1. */
  searchOffsetIndex(ptr: number, entryCount: number, relativeOffset: number): number {
    return this.#exports.searchOffsetIndex(ptr, entryCount, relativeOffset)
  }

  /** Last entry of a time index with timestamp ≤ this one, or −1. */
  searchTimeIndex(ptr: number, entryCount: number, timestamp: number): number {
    return this.#exports.searchTimeIndex(ptr, entryCount, timestamp)
  }
}
