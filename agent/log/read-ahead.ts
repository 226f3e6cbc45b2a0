// What sequential readers of segments will want next, read while they are busy with what they have:
// the disk works while CRCs are checked and bytes go to sockets.
//
// - A few pieces for the whole log, the oldest goes first. A piece is taken once.
// - A piece of a file that was replaced since is worth nothing.
// - A read that fails here is nobody's business: whoever wants the bytes asks again, and is told.

import type { SegmentFile } from './segment-file.ts'

interface Piece {
  file: SegmentFile
  rewrites: number
  position: number
  bytes: Promise<Buffer | undefined>
}

const PIECES_MAX = 4
const PIECE_BYTES_MAX = 1024 * 1024

export class ReadAhead {
  readonly #pieces: Piece[] = []

  start(file: SegmentFile, position: number, count: number): void {
    if (count > PIECE_BYTES_MAX || position >= file.size) return
    if (this.#find(file, position) >= 0) return
    const bytes = file.bytesAt(position, count).catch(() => undefined)
    this.#pieces.push({ file, rewrites: file.rewrites, position, bytes })
    if (this.#pieces.length > PIECES_MAX) this.#pieces.shift()
  }

  /** At most `count` bytes from a position, if they were read ahead; perhaps fewer. */
  async take(file: SegmentFile, position: number, count: number): Promise<Buffer | undefined> {
    const index = this.#find(file, position)
    if (index < 0) return undefined
    const [piece] = this.#pieces.splice(index, 1)
    const bytes = await piece!.bytes
    return piece!.rewrites === file.rewrites ? bytes?.subarray(0, count) : undefined
  }

  #find(file: SegmentFile, position: number): number {
    return this.#pieces.findIndex((piece) => piece.file === file && piece.position === position)
  }
}
