// The proof: what a fleet was promised against what arrived at the other end.
//
// `acked` is what the broker confirmed (a PUBACK or PUBCOMP): the sender's side of the ledger, which
// can be written as JSON lines. `Observations` is the reader's side: feed it (device, sequence) in
// the order of the partition. Then
//   lost        was acked and never seen (without a sender's ledger: gaps below the highest seen)
//   twice       seen again
//   outOfOrder  seen for the first time behind a later one of the same device
// One line of a ledger file: {"device":"dev-0001","published":120,"acked":[[1,118],[120,120]]}

import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Run, SequenceSet } from './sequence-set.ts'
import { causeOf, SimError } from './sim-error.ts'

export interface LedgerReport {
  readonly seen: number
  readonly lost: number
  readonly twice: number
  readonly outOfOrder: number
  /** The first few findings, as sentences. */
  readonly examples: readonly string[]
}

const EXAMPLES_MAX = 10

interface Account {
  readonly sequences: SequenceSet
  twice: number
  outOfOrder: number
}

/** What arrived, device by device. Memory grows with devices and gaps, not with messages. */
export class Observations {
  readonly #accounts = new Map<string, Account>()
  readonly #examples: string[] = []

  see(device: string, sequence: number): void {
    let account = this.#accounts.get(device)
    if (account === undefined) {
      account = { sequences: new SequenceSet(), twice: 0, outOfOrder: 0 }
      this.#accounts.set(device, account)
    }
    const { highest } = account.sequences
    if (!account.sequences.add(sequence)) {
      account.twice++
      this.#example(`${device}: ${sequence} seen twice`)
    } else if (sequence < highest) {
      account.outOfOrder++
      this.#example(`${device}: ${sequence} seen behind ${highest}`)
    }
  }

  report(acked?: AckedLedger): LedgerReport {
    let [seen, lost, twice, outOfOrder] = [0, 0, 0, 0]
    const examples = [...this.#examples]
    for (const account of this.#accounts.values()) {
      seen += account.sequences.size + account.twice
      twice += account.twice
      outOfOrder += account.outOfOrder
    }
    for (const [device, promised] of acked?.devices() ?? this.#unbroken()) {
      const sequences = this.#accounts.get(device)?.sequences ?? new SequenceSet()
      lost += promised.countMissingIn(sequences)
      for (const [from, to] of promised.missingIn(sequences, EXAMPLES_MAX)) {
        const which = from === to ? `${from}` : `${from} … ${to}`
        if (examples.length < EXAMPLES_MAX) examples.push(`${device}: ${which} lost`)
      }
    }
    return { seen, lost, twice, outOfOrder, examples }
  }

  /** Without a sender's ledger every device is taken to have been promised 1 … its highest. */
  *#unbroken(): Iterable<[string, SequenceSet]> {
    for (const [device, { sequences }] of this.#accounts) {
      const { highest } = sequences
      yield [device, SequenceSet.of(highest > 0 ? [[1, highest]] : [])]
    }
  }

  #example(text: string): void {
    if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(text)
  }
}

/** What the broker confirmed, device by device. */
export class AckedLedger {
  readonly #acked = new Map<string, SequenceSet>()
  readonly #published = new Map<string, number>()

  /** The device has used every sequence up to this one. */
  published(device: string, sequence: number): void {
    this.#published.set(device, sequence)
  }

  acked(device: string, sequence: number): void {
    let set = this.#acked.get(device)
    if (set === undefined) this.#acked.set(device, (set = new SequenceSet()))
    set.add(sequence)
  }

  /** Confirmed messages of all devices. */
  get size(): number {
    let size = 0
    for (const set of this.#acked.values()) size += set.size
    return size
  }

  devices(): Iterable<[string, SequenceSet]> {
    return this.#acked
  }

  *lines(): Iterable<string> {
    for (const device of new Set([...this.#published.keys(), ...this.#acked.keys()])) {
      const acked = this.#acked.get(device)?.runs ?? []
      const published = this.#published.get(device) ?? 0
      yield `${JSON.stringify({ device, published, acked })}\n`
    }
  }

  /** Written when it resolves. */
  async write(path: string): Promise<void> {
    await pipeline(Readable.from(this.lines()), createWriteStream(path))
  }

  static async read(path: string): Promise<AckedLedger> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      throw new SimError('SIM_INPUT', `ledger ${path} cannot be read: ${causeOf(error)}`)
    }
    const ledger = new AckedLedger()
    for (const [index, line] of text.split('\n').entries()) {
      if (line !== '') ledger.#readLine(line, `${path}:${index + 1}`)
    }
    return ledger
  }

  #readLine(line: string, where: string): void {
    let entry: unknown
    try {
      entry = JSON.parse(line)
    } catch {
      throw new SimError('SIM_INPUT', `${where}: not a line of a ledger (broken JSON)`)
    }
    const { device, published, acked } = (entry ?? {}) as Record<string, unknown>
    if (typeof device !== 'string' || !Number.isSafeInteger(published) || !isRuns(acked)) {
      throw new SimError('SIM_INPUT', `${where}: expected device, published and acked`)
    }
    this.#published.set(device, Number(published))
    this.#acked.set(device, SequenceSet.of(acked))
  }
}

function isRuns(value: unknown): value is Run[] {
  if (!Array.isArray(value)) return false
  let last = -1
  for (const run of value) {
    if (!Array.isArray(run) || run.length !== 2 || !run.every(Number.isSafeInteger)) return false
    if (run[0] <= last + 1 || run[1] < run[0]) return false
    last = run[1]
  }
  return true
}
