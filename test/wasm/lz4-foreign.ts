// LZ4 frames as others write them, put together by hand, and a twin that reads any of them.

import { lz4BlockTwin, xxh32Twin } from './twins.ts'

export const word = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24]

/** A frame put together by hand, blocks as given. */
export function frameOf(
  flags: number,
  descriptor: number,
  size: number[],
  ...rest: number[][]
): Buffer {
  const header = [flags, descriptor, ...size]
  const checksum = (xxh32Twin(Uint8Array.from(header)) >>> 8) & 0xff
  return Buffer.from([0x04, 0x22, 0x4d, 0x18, ...header, checksum, ...rest.flat()])
}

/** Block after block, each with its size before it, and the end mark. */
export function blocksOf(...blocks: number[][]): number[] {
  return [...blocks.flatMap((block) => [...word(block.length), ...block]), ...word(0)]
}

/** What one frame without a dictionary holds; throws on all that Kafka's readers would refuse. */
export function foreignTwin(frame: Buffer): Buffer {
  const insist = (holds: boolean, what: string) => {
    if (!holds) throw new Error(what)
  }
  insist(frame.readUInt32LE(0) === 0x184d2204, 'magic')
  const [flags, descriptor] = [frame.readUInt8(4), frame.readUInt8(5)]
  const has = (bit: number) => ((flags >> bit) & 1) === 1
  const [isDictionary, isSummed, isSized, areSummed, areIndependent] = [0, 2, 3, 4, 5].map(has)
  insist(flags >> 6 === 1 && !has(1) && !isDictionary, 'flags')
  insist((descriptor & 0x8f) === 0 && descriptor >= 0x40, 'descriptor')
  let at = isSized ? 14 : 6
  insist(
    frame.readUInt8(at) === ((xxh32Twin(frame.subarray(4, at)) >>> 8) & 0xff),
    'header checksum',
  )
  at++
  const blockMax = 2 ** (8 + 2 * (descriptor >> 4))
  let content = Buffer.alloc(0)
  for (;;) {
    const size = frame.readUInt32LE(at)
    at += 4
    if (size === 0) break
    const length = size % 2 ** 31
    const data = frame.subarray(at, at + length)
    insist(length > 0 && length <= blockMax && data.length === length, 'block size')
    at += length
    if (areSummed) insist(frame.readUInt32LE((at += 4) - 4) === xxh32Twin(data), 'block checksum')
    const before = areIndependent ? Buffer.alloc(0) : content
    const block = size >= 2 ** 31 ? data : lz4BlockTwin(data, before)
    insist(block.length <= blockMax, 'block grows')
    content = Buffer.concat([content, block])
  }
  if (isSummed) insist(frame.readUInt32LE((at += 4) - 4) === xxh32Twin(content), 'checksum')
  if (isSized) insist(frame.readBigUInt64LE(6) === BigInt(content.length), 'content size')
  insist(at === frame.length, 'bytes behind the frame')
  return content
}
