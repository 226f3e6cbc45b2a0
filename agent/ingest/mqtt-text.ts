// Text as MQTT allows it, checked on the bytes: UTF-8 strings, topic names, topic filters.
//
// - aedes and mqtt-packet let NUL, surrogates, control characters and filters such as `ab/+e` through
//   [MQTT-1.5.3-1, -2; 4.7.1-2, -3]. A NUL would reach the log as part of a Kafka key.
// - Each check returns what is wrong as words for a log line, or undefined.
// - At most 100 levels: more would make the matcher behind us throw.

export const LEVELS_MAX = 100

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23

/** What is wrong with the UTF-8 in [start, end): ill-formed, NUL, control or non-characters. */
export function textFault(bytes: Uint8Array, start: number, end: number): string | undefined {
  let position = start
  while (position < end) {
    const first = bytes[position]!
    if (first < 0x80) {
      if (first < 0x20 || first === 0x7f) return first === 0 ? 'a NUL' : 'a control character'
      position++
      continue
    }
    const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
    if (length === 0 || position + length > end) return 'ill-formed UTF-8'
    let code = first & (0x7f >> length)
    for (let next = position + 1; next < position + length; next++) {
      if ((bytes[next]! & 0xc0) !== 0x80) return 'ill-formed UTF-8'
      code = (code << 6) | (bytes[next]! & 0x3f)
    }
    const fault = codeFault(code, length)
    if (fault !== undefined) return fault
    position += length
  }
  return undefined
}

function codeFault(code: number, length: number): string | undefined {
  if (length === 3 && code < 0x800) return 'ill-formed UTF-8'
  if (length === 4 && (code < 0x10000 || code > 0x10ffff)) return 'ill-formed UTF-8'
  if (code >= 0xd800 && code <= 0xdfff) return 'a surrogate'
  if (code < 0xa0) return 'a control character'
  if ((code & 0xfffe) === 0xfffe || (code >= 0xfdd0 && code <= 0xfdef)) return 'a non-character'
  return undefined
}

/** What is wrong with a topic name somebody publishes to. */
export function topicNameFault(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (start === end) return 'an empty topic name'
  let levels = 1
  for (let position = start; position < end; position++) {
    const byte = bytes[position]!
    if (byte === PLUS || byte === HASH) return 'a wildcard in a topic name'
    if (byte === SLASH) levels++
  }
  if (levels > LEVELS_MAX) return `more than ${LEVELS_MAX} topic levels`
  return textFault(bytes, start, end)
}

/** What is wrong with a filter somebody subscribes to. */
export function topicFilterFault(
  bytes: Uint8Array,
  start: number,
  end: number,
): string | undefined {
  if (start === end) return 'an empty topic filter'
  let levels = 1
  for (let position = start; position < end; position++) {
    const byte = bytes[position]!
    if (byte === SLASH) levels++
    if (byte !== PLUS && byte !== HASH) continue
    const opens = position === start || bytes[position - 1] === SLASH
    const closes = position === end - 1 || bytes[position + 1] === SLASH
    if (!opens || !closes) return 'a wildcard that is not a whole level'
    if (byte === HASH && position !== end - 1) return '# before the last level'
  }
  if (levels > LEVELS_MAX) return `more than ${LEVELS_MAX} topic levels`
  return textFault(bytes, start, end)
}
