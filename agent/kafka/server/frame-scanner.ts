// Request frames out of socket chunks: int32 size, then so many bytes.
//
// - A frame that lies in one chunk is a view of it. Another one is copied once, piece by piece, into
//   a buffer of its own size: no chunk is ever joined to another.
// - The size is judged before anything is allocated.

const SIZE_BYTES = 4

export type ScannedFrame =
  | { kind: 'frame'; bytes: Buffer }
  /** The next frame has this size and is not wholly here: `begin` it, then push more chunks. */
  | { kind: 'large'; size: number }
  | { kind: 'more' }
  /** A size that is negative or above the limit. */
  | { kind: 'refused'; size: number }

export class FrameScanner {
  readonly #bytesMax: number
  readonly #chunks: Buffer[] = []
  /** Position in the first chunk. */
  #position = 0
  #buffered = 0
  #partial: Buffer | undefined
  #filled = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Whether a frame has begun and is not complete. */
  get isInside(): boolean {
    return this.#partial !== undefined || this.#buffered > 0
  }

  /** Bytes pushed and not yet looked at. */
  get bufferedBytes(): number {
    return this.#buffered
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
  }

  next(): ScannedFrame {
    if (this.#partial !== undefined) return this.#fill(this.#partial)
    if (this.#buffered < SIZE_BYTES) return { kind: 'more' }
    const size = this.#peekSize()
    if (size < 0 || size > this.#bytesMax) return { kind: 'refused', size }
    const first = this.#chunks[0]!
    const start = this.#position + SIZE_BYTES
    if (start + size > first.length) return { kind: 'large', size }
    const bytes = first.subarray(start, start + size)
    this.#skip(SIZE_BYTES + size)
    return { kind: 'frame', bytes }
  }

  /** After `large`: takes the memory for that frame. */
  begin(size: number): void {
    this.#skip(SIZE_BYTES)
    this.#partial = Buffer.allocUnsafe(size)
    this.#filled = 0
  }

  #fill(partial: Buffer): ScannedFrame {
    while (this.#filled < partial.length && this.#buffered > 0) {
      const chunk = this.#chunks[0]!
      const end = Math.min(chunk.length, this.#position + partial.length - this.#filled)
      partial.set(chunk.subarray(this.#position, end), this.#filled)
      this.#filled += end - this.#position
      this.#skip(end - this.#position)
    }
    if (this.#filled < partial.length) return { kind: 'more' }
    this.#partial = undefined
    return { kind: 'frame', bytes: partial }
  }

  #peekSize(): number {
    const first = this.#chunks[0]!
    if (this.#position + SIZE_BYTES <= first.length) return first.readInt32BE(this.#position)
    let size = 0
    let position = this.#position
    let index = 0
    for (let taken = 0; taken < SIZE_BYTES; taken++) {
      while (position >= this.#chunks[index]!.length) {
        index++
        position = 0
      }
      size = (size << 8) | this.#chunks[index]![position++]!
    }
    return size
  }

  #skip(bytes: number): void {
    this.#buffered -= bytes
    this.#position += bytes
    while (this.#chunks.length > 0 && this.#position >= this.#chunks[0]!.length) {
      this.#position -= this.#chunks.shift()!.length
    }
  }
}
