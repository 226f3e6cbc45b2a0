// What each publisher sent against what stands in the log. A publisher's messages share a key, so
// they lie in one partition, and they lie there in order:
//
// - QoS 2: 1, 2, 3 …, each exactly once.
// - QoS 1: the same with repeats of what came before, never a gap.
// - When nothing is in flight any more, the last one is the last one sent: nothing acked is lost.

export interface LedgerClient {
  clientId: string
  qos: 1 | 2
  issued: number
}

interface Account {
  client: LedgerClient
  last: number
  repeats: number
  place: string
}

const FAULTS_KEPT = 20

export class Ledger {
  readonly faults: string[] = []
  records = 0
  readonly #accounts = new Map<string, Account>()

  constructor(clients: readonly LedgerClient[]) {
    for (const client of clients) {
      this.#accounts.set(client.clientId, { client, last: 0, repeats: 0, place: '' })
    }
  }

  /** Repeats of QoS 1 messages, which MQTT allows. */
  get repeats(): number {
    return [...this.#accounts.values()].reduce((sum, account) => sum + account.repeats, 0)
  }

  /** Enters the next record of a partition; records of a partition come in the order of offsets. */
  enter(place: string, value: Buffer | null): void {
    this.records++
    const message = parse(value)
    const account = this.#accounts.get(message?.client ?? '')
    if (message === undefined || account === undefined) {
      this.#fault(`${place}: not a message of ours: ${value?.toString('utf8', 0, 80) ?? 'null'}`)
      return
    }
    const { client, last } = account
    const name = `${client.clientId} ${message.seq}`
    if (message.seq > client.issued) this.#fault(`${place}: ${name} was never sent`)
    if (message.seq === last + 1) {
      account.last = message.seq
    } else if (message.seq > last) {
      this.#fault(`${place}: ${name} follows ${last} (at ${account.place}): lost or out of order`)
      account.last = message.seq
    } else if (client.qos === 2) {
      this.#fault(`${place}: ${name} a second time, though it is QoS 2`)
    } else {
      account.repeats++
    }
    account.place = place
  }

  /** Nothing is in flight: every message sent was acked and must be there. */
  close(): void {
    for (const { client, last } of this.#accounts.values()) {
      if (last === client.issued) continue
      this.#fault(`${client.clientId}: ${client.issued} acked, the log ends with ${last}`)
    }
  }

  #fault(text: string): void {
    if (this.faults.length < FAULTS_KEPT) this.faults.push(text)
  }
}

function parse(value: Buffer | null): { client: string; seq: number } | undefined {
  try {
    const message = JSON.parse(value?.toString() ?? '') as { client: string; seq: number }
    return typeof message.client === 'string' && Number.isSafeInteger(message.seq)
      ? message
      : undefined
  } catch {
    return undefined
  }
}
