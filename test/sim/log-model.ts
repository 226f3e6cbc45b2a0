// What a simulation remembers of its log, and what it says when the log says something else.

import type { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { BrokenPromise } from '../support/broken-promise.ts'
import { OffsetSet } from './offset-set.ts'

export interface ModelRecord {
  timestamp: number
  key: string | null
  value: string
}

export interface ModelPartition {
  records: ModelRecord[]
  /** Everything below was durable once. */
  durable: number
  start: number
  /** Its deletion was begun. */
  mayBeGone: boolean
  /** Offsets that damage which the simulation did may cost. */
  mayBeLost: OffsetSet
  /** Offsets that the log said are lost. */
  lost: OffsetSet
  /** Something was damaged that stood for what was lost before: it may be counted twice. */
  isCountDoubtful: boolean
  /** What is below may have been sent upstream. */
  pinned: number
  /** The newest cursor that was put to be durable, and the one that is. */
  cursor: number
  durableCursor: number
  /** Its end may go back to here, and nobody can tell: nothing behind it is left. */
  mayEnd: number
}

export interface Target {
  partition: PartitionLog
  model: ModelPartition
}

/** An id that is held between the two halves of a handshake, put together with its record. */
interface Held {
  end: string
  offset: number
  isAcked: boolean
  mayBeGone: boolean
}

export class LogModel {
  readonly #hasUniqueNames: boolean
  readonly partitions = new Map<string, ModelPartition>()
  readonly #buried = new Map<string, ModelPartition>()
  readonly #held = new Map<string, Held>()
  /** Numbers values that are put. */
  puts = 0
  /** Numbers topics that have no name twice. */
  topics = 0
  /** The newest put while closing that was acked. */
  putDurable = 0
  /** Damage may have cost state: only records are judged until what is there has been learnt. */
  isStateDoubtful = false
  /** An index that is wrong may send whoever looks for a time too far. */
  isTimeDoubtful = false
  /** It was so once in this life. */
  wasStateDoubtful = false

  /** `hasUniqueNames`: a topic that lost its id is still the same one. */
  constructor(hasUniqueNames: boolean) {
    this.#hasUniqueNames = hasUniqueNames
  }

  /** The key of its end in the state. By the topic's id: another topic of a name is another one. */
  keyOf({ topic, name }: PartitionLog): string {
    return this.#hasUniqueNames ? `end/${name}` : `end/${topic.id}/${name}`
  }

  /** From now on it may be there. */
  know(partition: PartitionLog): void {
    const key = this.keyOf(partition)
    if (this.partitions.has(key)) return
    this.partitions.set(key, {
      records: [],
      durable: 0,
      start: 0,
      mayBeGone: false,
      mayBeLost: new OffsetSet(),
      lost: new OffsetSet(),
      isCountDoubtful: false,
      pinned: 0,
      cursor: 0,
      durableCursor: 0,
      mayEnd: Number.POSITIVE_INFINITY,
    })
  }

  targets(log: Log): Target[] {
    const found: Target[] = []
    for (const topic of log.topics()) {
      for (const partition of topic.partitions) {
        const key = this.keyOf(partition)
        const model = this.partitions.get(key) ?? this.#returned(key)
        if (model === undefined) throw new BrokenPromise(`${partition.name} was never created`)
        found.push({ partition, model })
      }
    }
    return found
  }

  /** Its deletion is durable. */
  bury(key: string): void {
    const model = this.partitions.get(key)
    if (model !== undefined) this.#buried.set(key, model)
    this.partitions.delete(key)
  }

  /** Damage may have cost the last word on a topic: whatever is left of it is old. */
  #returned(key: string): ModelPartition | undefined {
    const model = this.#buried.get(key)
    if (model === undefined || !this.wasStateDoubtful) return undefined
    this.#buried.delete(key)
    model.mayBeLost.add(0, model.records.length)
    model.mayEnd = 0
    model.mayBeGone = true
    this.partitions.set(key, model)
    return model
  }

  /** From now on what state says may be old, or nothing. */
  doubtState(): void {
    this.isStateDoubtful = true
    this.wasStateDoubtful = true
  }

  /** Holds a new id, in the commit of the record before it. */
  hold(log: Log, { partition, model }: Target): void {
    const key = `held/${++this.puts}`
    const held = { end: this.keyOf(partition), offset: model.records.length - 1 }
    this.#held.set(key, { ...held, isAcked: false, mayBeGone: false })
    log.state.put(key, Buffer.from(`${held.end} ${held.offset}`))
  }

  /** Lets go of one that is known to be held. */
  letGo(log: Log): void {
    for (const [key, held] of this.#held) {
      if (!held.isAcked || held.mayBeGone) continue
      held.mayBeGone = true
      log.state.delete(key)
      return
    }
  }

  /** What holds now is durable when `ack` is called. */
  beginCommit(): { ack: () => void } {
    const ends = [...this.partitions.values()].map(
      (model) => [model, model.records.length, model.cursor] as const,
    )
    const held = [...this.#held].map(([key, { mayBeGone }]) => [key, mayBeGone] as const)
    const ack = () => {
      for (const [model, end, cursor] of ends) {
        model.durable = Math.max(model.durable, end)
        model.durableCursor = Math.max(model.durableCursor, cursor)
      }
      for (const [key, wasGone] of held) {
        if (wasGone) this.#held.delete(key)
        else this.#held.get(key)!.isAcked = true
      }
    }
    return { ack }
  }

  /** After a start, with what the log has learnt of its past. */
  checkState(log: Log): void {
    const found = new Set(this.targets(log).map(({ partition }) => this.keyOf(partition)))
    for (const [name, model] of this.partitions) {
      if (found.has(name)) continue
      if (Math.min(model.durable, model.mayEnd) > 0 && !model.mayBeGone) {
        throw new BrokenPromise(`${name} is gone`)
      }
      this.bury(name)
    }
    if (!this.isStateDoubtful) {
      this.#checkHeld(log)
      this.#checkPuts(log)
    }
    this.#learnHeld(log)
    this.putDurable = Number(log.state.get('closing')?.toString() ?? 0)
    this.isStateDoubtful = false
  }

  #checkHeld(log: Log): void {
    const stored = new Map(log.state.entries('held/'))
    for (const [key, held] of this.#held) {
      const model = this.partitions.get(held.end)
      const isThere = stored.delete(key)
      if (!isThere && held.isAcked && !held.mayBeGone) throw new BrokenPromise(`${key} is gone`)
      if (model === undefined) continue
      const hasRecord = model.records.length > held.offset
      if (isThere && !hasRecord) throw new BrokenPromise(`${key} is held, its record is gone`)
      if (!isThere && hasRecord && !held.mayBeGone) throw new BrokenPromise(`${key} was not held`)
    }
    for (const key of stored.keys()) throw new BrokenPromise(`${key} came back`)
  }

  #learnHeld(log: Log): void {
    this.#held.clear()
    for (const [key, value] of log.state.entries('held/')) {
      const [end = '', offset] = value.toString().split(' ')
      const isThere = (this.partitions.get(end)?.records.length ?? 0) > Number(offset)
      // A journal that was damaged may have had its record only.
      const known = isThere ? Number(offset) : -1
      this.#held.set(key, { end, offset: known, isAcked: true, mayBeGone: false })
    }
  }

  #checkPuts(log: Log): void {
    if (Number(log.state.get('closing')?.toString() ?? 0) < this.putDurable) {
      throw new BrokenPromise(`acked state ${this.putDurable} is gone`)
    }
    // What a damaged journal had of one put is gone, until the next.
    if (this.wasStateDoubtful) return
    const many = [...log.state.entries('many/')].map(([, value]) => value.toString())
    if (new Set(many).size > 1 || ![0, 60].includes(many.length)) {
      const values = new Set(many).size
      throw new BrokenPromise(`half a commit came back: ${many.length} entries, ${values} values`)
    }
  }
}
