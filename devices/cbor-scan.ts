// The shape of a CBOR item (RFC 8949), judged before a decoder may build anything of it.
//
// The decoder is fast and generous: it builds RegExps, Sets and shared references from tags, record
// readers from keys, and big integers of any length in quadratic time. What sensors send needs none
// of that, so this walk over the heads alone refuses it, along with nesting, item counts and lengths
// beyond the limits. It allocates one small array and visits each head once.

const DATE_TAGS = [0, 1]
const BIG_INTEGER_TAGS = [2, 3]
const FRACTION_TAGS = [4, 5]
const SELF_DESCRIBED_TAG = 55799
/** RFC 8746, those the decoder knows. */
const TYPED_ARRAY_TAGS = [
  64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 77, 78, 79, 81, 82, 85, 86,
]
const BIG_INTEGER_BYTES_MAX = 16
const INDEFINITE = -1

const NAMED_TAGS: ReadonlyMap<number, string> = new Map([
  [27, 'a generic object'],
  [28, 'a shared value'],
  [29, 'a shared reference'],
  [35, 'a regular expression'],
  [51, 'packed values'],
  [105, 'a record'],
  [258, 'a set'],
  [259, 'a map with keys of any type'],
])

export interface CborLimits {
  readonly maxDepth: number
  readonly maxItems: number
}

interface Head {
  readonly major: number
  /** Length, count, tag number or value; -1 = indefinite; NaN = not allowed by RFC 8949. */
  readonly argument: number
  readonly next: number
}

/** What is wrong with the item, as the end of a sentence; undefined = decode it. */
export function scanCbor(bytes: Uint8Array, limits: CborLimits): string | undefined {
  const left = new Float64Array(limits.maxDepth + 1)
  left[0] = 1
  let [depth, position, items] = [0, 0, 0]
  while (depth >= 0) {
    if (left[depth] === 0) {
      depth--
      continue
    }
    const head = readHead(bytes, position)
    if (head === undefined) return 'ends in the middle of an item'
    if (left[depth] === INDEFINITE && bytes[position] === 0xff) {
      left[depth] = 0
      position++
      continue
    }
    if (left[depth] !== INDEFINITE) left[depth]!--
    if (++items > limits.maxItems) return `has more than ${limits.maxItems} items`
    const problem = judgeHead(bytes, head)
    if (problem !== undefined) return problem
    position = head.next
    if (head.major === 2 || head.major === 3) position += head.argument
    if (position > bytes.length) return 'ends in the middle of an item'
    if (head.major >= 4 && head.major <= 6) {
      if (++depth > limits.maxDepth) return `is nested deeper than ${limits.maxDepth} levels`
      left[depth] = childrenOf(head)
    }
  }
  const rest = bytes.length - position
  return rest === 0 ? undefined : `has ${rest} bytes behind its item`
}

function childrenOf(head: Head): number {
  if (head.major === 6) return 1
  return head.major === 5 && head.argument > 0 ? head.argument * 2 : head.argument
}

function judgeHead(bytes: Uint8Array, head: Head): string | undefined {
  if (Number.isNaN(head.argument)) return 'has a head that RFC 8949 reserves'
  if (head.argument === INDEFINITE) {
    if (head.major === 4 || head.major === 5) return undefined
    return head.major === 7 ? 'has a break outside of a list' : 'has a text in pieces'
  }
  return head.major === 6 ? judgeTag(bytes, head) : undefined
}

function judgeTag(bytes: Uint8Array, head: Head): string | undefined {
  const tag = head.argument
  if (DATE_TAGS.includes(tag) || tag === SELF_DESCRIBED_TAG) return undefined
  if (FRACTION_TAGS.includes(tag)) {
    return bytes[head.next] === 0x82 ? undefined : 'has a fraction that is not two numbers'
  }
  const inner = readHead(bytes, head.next)
  const isBytes = inner?.major === 2 && inner.argument >= 0
  if (BIG_INTEGER_TAGS.includes(tag)) {
    if (isBytes && inner.argument <= BIG_INTEGER_BYTES_MAX) return undefined
    return `has a big integer of more than ${BIG_INTEGER_BYTES_MAX} bytes`
  }
  if (TYPED_ARRAY_TAGS.includes(tag)) {
    return isBytes ? undefined : 'has a typed array that is not bytes'
  }
  return `has ${NAMED_TAGS.get(tag) ?? 'a value'} (tag ${tag}), which no profile takes`
}

function readHead(bytes: Uint8Array, position: number): Head | undefined {
  const first = bytes[position]
  if (first === undefined) return undefined
  const [major, info] = [first >> 5, first & 0x1f]
  if (info < 24) return { major, argument: info, next: position + 1 }
  if (info === 31) {
    return {
      major,
      argument: major < 2 || major === 6 ? Number.NaN : INDEFINITE,
      next: position + 1,
    }
  }
  if (info > 27) return { major, argument: Number.NaN, next: position + 1 }
  const size = 1 << (info - 24)
  const next = position + 1 + size
  if (next > bytes.length) return undefined
  let argument = 0
  for (let at = position + 1; at < next; at++) argument = argument * 256 + bytes[at]!
  return { major, argument, next }
}
