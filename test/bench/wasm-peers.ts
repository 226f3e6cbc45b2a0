// The native add-ons that a user would take instead, from a manifest of their own (`peers/`).

import { createRequire } from 'node:module'

export interface Peers {
  nodeRs?: { crc32c(bytes: Buffer): number }
  sse4?: { calculate(bytes: Buffer): number }
  lz4Napi?: {
    compressSync(bytes: Buffer): Buffer
    compressFrameSync(bytes: Buffer): Buffer
    decompressFrameSync(frame: Buffer): Buffer
  }
  /** liblz4 in C; output buffers are the caller's. */
  lz4?: {
    encodeBound(length: number): number
    encodeBlock(bytes: Buffer, output: Buffer): number
    decodeBlock(block: Buffer, output: Buffer): number
  }
  zstd?: {
    Compressor: new () => {
      setParameters(parameters: { compressionLevel: number }): void
      compress(bytes: Buffer): Buffer
    }
    Decompressor: new () => { decompress(bytes: Buffer): Buffer }
  }
}

/** Those that are installed; one sentence about the others. */
export function loadPeers(): Peers {
  const require = createRequire(new URL('./peers/package.json', import.meta.url))
  const missing: string[] = []
  const load = (name: string) => {
    try {
      return require(name)
    } catch {
      missing.push(name)
      return undefined
    }
  }
  const peers = {
    nodeRs: load('@node-rs/crc32'),
    sse4: load('sse4_crc32'),
    lz4Napi: load('lz4-napi'),
    lz4: load('lz4'),
    zstd: load('zstd-napi'),
  }
  if (missing.length > 0) {
    console.error(`without ${missing.join(', ')}: npm ci --prefix test/bench/peers`)
  }
  return peers
}
