// Cuts a byte stream into frames: int32 size, then that many bytes.
//
// A frame that lies whole in one chunk is handed out as a view of it; one that is cut is gathered
// in a buffer of its own, so that every byte is copied once at most. The size is checked before
// anything is allocated, and a claim alone allocates no more than TRUSTED_SIZE: what is above grows
// with the bytes that really came.

import { AgentError } from '../../base/errors.ts'

const PREFIX_SIZE = 4
const TRUSTED_SIZE = 1024 * 1024

/** Of one stream. After it has thrown INPUT_FRAME the stream has no meaning any more. */
export class FrameAssembler {
  readonly #frameBytesMax: number
  readonly #prefix = Buffer.alloc(PREFIX_SIZE)
  #prefixFilled = 0
  /** Of the frame under way, whose bytes so far are in `#gathered`; 0 between frames. */
  #size = 0
  #gathered = Buffer.alloc(0)
  #filled = 0

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  /** Whether the stream stands inside a frame. */
  get isMidFrame(): boolean {
    return this.#size > 0 || this.#prefixFilled > 0
  }

  /** Calls `onFrame`, in order and synchronously, with every frame that `chunk` completes. */
  push(chunk: Buffer, onFrame: (frame: Buffer) => void): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#size > 0) {
        at = this.#gather(chunk, at, onFrame)
        continue
      }
      if (this.#prefixFilled > 0 || chunk.length - at < PREFIX_SIZE) {
        this.#prefix[this.#prefixFilled++] = chunk[at++]!
        if (this.#prefixFilled === PREFIX_SIZE) this.#begin(this.#prefix.readInt32BE(0))
        continue
      }
      const size = chunk.readInt32BE(at)
      at += PREFIX_SIZE
      if (size >= PREFIX_SIZE && size <= chunk.length - at && size <= this.#frameBytesMax) {
        onFrame(chunk.subarray(at, at + size))
        at += size
      } else {
        this.#begin(size)
      }
    }
  }

  #begin(size: number): void {
    if (size < PREFIX_SIZE || size > this.#frameBytesMax) {
      throw new AgentError(
        'INPUT_FRAME',
        `a Kafka frame of ${size} bytes, where ${PREFIX_SIZE} to ${this.#frameBytesMax} are allowed`,
      )
    }
    this.#prefixFilled = 0
    this.#size = size
    this.#filled = 0
    this.#gathered = Buffer.allocUnsafe(Math.min(size, TRUSTED_SIZE))
  }

  #gather(chunk: Buffer, at: number, onFrame: (frame: Buffer) => void): number {
    const size = Math.min(chunk.length - at, this.#size - this.#filled)
    this.#makeRoom(this.#filled + size)
    chunk.copy(this.#gathered, this.#filled, at, at + size)
    this.#filled += size
    if (this.#filled === this.#size) {
      const frame = this.#gathered
      this.#size = 0
      this.#gathered = Buffer.alloc(0)
      onFrame(frame)
    }
    return at + size
  }

  #makeRoom(size: number): void {
    if (size <= this.#gathered.length) return
    const larger = Buffer.allocUnsafe(Math.min(this.#size, Math.max(size, 2 * this.#filled)))
    this.#gathered.copy(larger, 0, 0, this.#filled)
    this.#gathered = larger
  }
}
