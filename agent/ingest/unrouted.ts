// Messages that no route takes: counted, and named in the log once per first level.

import type { Logger, Metrics } from '../base/telemetry.ts'

const PREFIXES_MAX = 100

export class Unrouted {
  readonly #logger: Logger
  readonly #counts = new Map<string, number>()
  total = 0
  /** The topic of the newest one. */
  last: string | undefined

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger
    metrics.observed(
      'counter',
      'tributary_unrouted_messages_total',
      'MQTT messages that no route takes.',
      () => this.total,
    )
  }

  /** `why` replaces the nearest route where a route exists but its topic cannot be had. */
  count(mqttTopic: string, isStored: boolean, nearest: () => string, why?: string): void {
    this.total++
    this.last = mqttTopic
    const prefix = mqttTopic.split('/', 1)[0]!
    const seen = this.#counts.get(prefix)
    if (seen !== undefined) {
      this.#counts.set(prefix, seen + 1)
      return
    }
    if (this.#counts.size >= PREFIXES_MAX) return
    this.#counts.set(prefix, 1)
    const name = JSON.stringify(mqttTopic.slice(0, 200))
    const fate = `${this.total} acked, ${isStored ? 'stored as unrouted' : 'not stored'}`
    if (why === undefined)
      this.#logger.warn(`no route for ${name} (${fate}); nearest: ${nearest()}`)
    else this.#logger.warn(`no topic for ${name} (${fate}): ${why}`)
  }
}
