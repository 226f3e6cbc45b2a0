// Lines of a byte stream, untouched by any text decoding.

import { AgentError } from '../base/errors.ts'

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
/** No broker takes a larger record by default; this only bounds memory. */
const LINE_BYTES_MAX = 16 * 1024 * 1024

/** The lines that each chunk completes, without their ends (LF or CRLF); the last may lack one. */
export async function* readLines(input: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer[]> {
  let parts: Buffer[] = []
  let pending = 0
  for await (const piece of input) {
    const chunk = typeof piece === 'string' ? Buffer.from(piece) : piece
    const lines: Buffer[] = []
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      lines.push(withoutReturn(joined(parts, chunk.subarray(from, end))))
      parts = []
      pending = 0
      from = end + 1
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from))
      pending += chunk.length - from
    }
    if (pending > LINE_BYTES_MAX) {
      throw new AgentError('INPUT_USAGE', `a line is longer than ${LINE_BYTES_MAX} bytes`)
    }
    if (lines.length > 0) yield lines
  }
  if (parts.length > 0) yield [withoutReturn(joined(parts, Buffer.alloc(0)))]
}

function joined(parts: readonly Buffer[], last: Buffer): Buffer {
  return parts.length === 0 ? last : Buffer.concat([...parts, last])
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line
}
