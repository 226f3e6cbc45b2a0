// Small journaled state: key → bytes. Topics, replication cursors, QoS 2 packet ids, producers.
//
// A change is durable with the commit that is open when it is made; one marked `ride` waits for a
// commit that something else causes. The whole map is in every checkpoint, and later journal
// entries overwrite it: last write wins, so replaying is idempotent.
//
// Keys are '/'-separated printable ASCII; FORMAT.md says what stands under each. They are
// owned by prefix: store/ topic/ start/ deleted/ acked/ hollow/ lost/ repl/ qos2/ session/ pid/

import { assert } from '../base/assert.ts'

export const STATE_KEY_BYTES_MAX = 1024
export const STATE_VALUE_BYTES_MAX = 65_536

export interface StateOptions {
  /** Do not cause a commit: travel with the next one. */
  ride: boolean
}

export class StateStore {
  readonly #entries = new Map<string, Buffer>()
  readonly #changed: (key: string, value: Buffer | undefined, ride: boolean) => void

  /** `changed` puts the change into the open commit. */
  constructor(changed: (key: string, value: Buffer | undefined, ride: boolean) => void) {
    this.#changed = changed
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Buffer | undefined {
    return this.#entries.get(key)
  }

  /** In memory when it returns, durable with the open commit. The value is kept, not copied. */
  put(key: string, value: Uint8Array, options: StateOptions = { ride: false }): void {
    assert(key.length <= STATE_KEY_BYTES_MAX, 'a state key is at most 1 KiB')
    assert(value.length <= STATE_VALUE_BYTES_MAX, 'a state value is at most 64 KiB')
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    this.#entries.set(key, bytes)
    this.#changed(key, bytes, options.ride)
  }

  delete(key: string, options: StateOptions = { ride: false }): void {
    if (this.#entries.delete(key)) this.#changed(key, undefined, options.ride)
  }

  *entries(prefix = ''): Iterable<[string, Buffer]> {
    for (const entry of this.#entries) if (entry[0].startsWith(prefix)) yield entry
  }

  /** Applies what a checkpoint or journal holds; causes no commit. */
  restore(key: string, value: Buffer | undefined): void {
    if (value === undefined) this.#entries.delete(key)
    else this.#entries.set(key, value)
  }
}
