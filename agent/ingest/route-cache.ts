// What is known of each mqttTopic that was published lately, found by the bytes of its name.
//
// 4-way sets, FNV-1a over the bytes, verified by comparing: a hit makes no string and no object, and
// says that the name is valid, because only checked names get in. The cache is bounded by its size;
// a peer that picks colliding names only displaces its own kind.
//
// Where a route uses {clientId} or {username} an entry belongs to one connection (`owner`).

import type { IngestPartition, IngestTopic } from './ingest-log.ts'
import type { RouteMatch } from './routes.ts'

const SETS = 4096
const WAYS = 4
/** Longer names are looked up each time: an entry holds its name several times over. */
const NAME_BYTES_MAX = 512

/** Counts the messages of one Kafka topic that have no key. */
export interface Turn {
  last: number
}

/** One mqttTopic and where its messages go. */
export class RoutedTopic {
  readonly bytes: Buffer
  readonly mqttTopic: string
  readonly owner: number
  readonly kind: 'stored' | 'unrouted' | 'ignored'
  /** Of a stored one: its route, and the Kafka topic as it was when this entry was made. */
  readonly match: RouteMatch | undefined
  topic: IngestTopic | undefined
  /** Why there is a route but no topic. */
  problem: string | undefined
  /** Its topic cannot be had at this moment: looked up again with the next message. */
  isBusy = false
  partitionsCount = 0
  /** Of the Kafka topic: whose turn it is where no key chooses the partition. */
  turn: Turn = { last: 0 }
  /** Undefined: chosen per message. */
  partition: IngestPartition | undefined
  /** Everything is known here; otherwise key, headers, value or time come from each payload. */
  isStatic = false
  key: Buffer | null = null
  /** Encoded headers, the one that says `mqtt.retain` last. */
  headers: Buffer = Buffer.alloc(0)
  headersLength = 0
  headersCount = 0

  /** Where key and headers are staged, while `epoch` is the staging's. */
  epoch = 0
  keyAt = 0
  headersAt = 0

  /** Whether somebody subscribes, while `generation` is the fan-out's. */
  generation = -1
  isWanted = false

  constructor(
    bytes: Buffer,
    owner: number,
    kind: RoutedTopic['kind'],
    match: RouteMatch | undefined,
  ) {
    this.bytes = bytes
    this.mqttTopic = bytes.toString()
    this.owner = owner
    this.kind = kind
    this.match = match
  }
}

export class RouteCache {
  readonly #slots: (RoutedTopic | undefined)[] = new Array(SETS * WAYS).fill(undefined)
  #victim = 0
  #set = 0

  /** The entry of the name at [start, start + length). */
  find(u8: Uint8Array, start: number, length: number, owner: number): RoutedTopic | undefined {
    let hash = 0x811c9dc5 ^ owner
    for (let at = start; at < start + length; at++) hash = Math.imul(hash ^ u8[at]!, 0x01000193)
    this.#set = ((hash ^ (hash >>> 15)) & (SETS - 1)) * WAYS
    for (let slot = this.#set; slot < this.#set + WAYS; slot++) {
      const entry = this.#slots[slot]
      if (entry !== undefined && entry.owner === owner && isSame(entry.bytes, u8, start, length)) {
        return entry
      }
    }
    return undefined
  }

  /** Keeps the entry for the name that `find` has just not found. */
  add(entry: RoutedTopic): void {
    if (entry.bytes.length > NAME_BYTES_MAX) return
    for (let slot = this.#set; slot < this.#set + WAYS; slot++) {
      if (this.#slots[slot] !== undefined) continue
      this.#slots[slot] = entry
      return
    }
    this.#victim = (this.#victim + 1) % WAYS
    this.#slots[this.#set + this.#victim] = entry
  }
}

function isSame(bytes: Buffer, u8: Uint8Array, start: number, length: number): boolean {
  if (bytes.length !== length) return false
  for (let at = 0; at < length; at++) if (bytes[at] !== u8[start + at]) return false
  return true
}
