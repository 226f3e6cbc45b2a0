// Codecs of record batches: the low three bits of a batch's attributes.
//
// gzip by node:zlib, the others by the kernel, which reads snappy and does not write it.

import { gunzipSync, gzipSync } from 'node:zlib'
import {
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  OUT_OF_ROOM,
  UNSUPPORTED,
} from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import { codeOf } from '../base/errors.ts'

export { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD }
/** The one that no kernel knows. */
export const CODEC_GZIP = 1

/** The codecs that can be written and read here. */
export type Codec = typeof CODEC_NONE | typeof CODEC_GZIP | typeof CODEC_LZ4 | typeof CODEC_ZSTD

const NAMES = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** Kafka's name of a codec, for sentences. */
export function codecName(codec: number): string {
  return NAMES[codec] ?? `codec ${codec}`
}

export type Decompressed =
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'corrupt' }
  | { kind: 'tooLarge' }
  /** A codec, or a feature of it, that is not read here. */
  | { kind: 'unsupported' }

/** The records of a batch; with codec none the very bytes that were given. */
export function decompress(
  codec: number,
  bytes: Buffer,
  maxBytes: number,
  codecs: Codecs,
): Decompressed {
  if (codec === CODEC_NONE) return { kind: 'bytes', bytes }
  if (codec === CODEC_GZIP) return gunzip(bytes, maxBytes)
  const output = codecs.decompress(codec, bytes, maxBytes)
  if (typeof output !== 'number') return { kind: 'bytes', bytes: output }
  if (output === OUT_OF_ROOM) return { kind: 'tooLarge' }
  return { kind: output === UNSUPPORTED ? 'unsupported' : 'corrupt' }
}

export function compress(codec: Codec, bytes: Buffer, codecs: Codecs): Buffer {
  if (codec === CODEC_NONE) return bytes
  return codec === CODEC_GZIP ? gzipSync(bytes) : codecs.compress(codec, bytes)
}

function gunzip(bytes: Buffer, maxBytes: number): Decompressed {
  try {
    return { kind: 'bytes', bytes: gunzipSync(bytes, { maxOutputLength: maxBytes }) }
  } catch (error) {
    // zlib has no outcome values: whatever else it throws is about the bytes.
    return { kind: codeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? 'tooLarge' : 'corrupt' }
  }
}
