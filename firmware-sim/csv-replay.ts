// Replays a controller's CSV files as if the controller spoke MQTT: each row one message.
//
//   {"device":"controller-1","seq":1,"ts":1497218400000,"time":"2017-06-11T22:00:00.000Z",
//    "values":{"temperatur_sensor_1":18.6,"temperatur_sensor_5":null,…}}
//
// The pace is the files' own times a speed, or as fast as acks allow: reading stops while the window
// is full, so memory does not depend on the length of the files. Damaged rows are reported with file
// and line and counted, never published.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type CsvCounts, type CsvOptions, CsvReader, type CsvRow } from './csv-rows.ts'
import { DeviceLink, type LinkOptions } from './device-link.ts'
import { topicFor } from './fleet.ts'
import { LatencyHistogram } from './latency-histogram.ts'
import type { AckedLedger } from './ledger.ts'
import { encodeMessage, type MessageFormat } from './message.ts'
import { Outbox } from './outbox.ts'
import type { Random } from './prng.ts'

export interface ReplayOptions {
  /** CSV files, or folders of them. */
  readonly paths: readonly string[]
  readonly csv: CsvOptions
  readonly controller: string
  /** {device} is the controller; {metric} is `row`. */
  readonly mqttTopic: string
  readonly format: MessageFormat
  /** 1 = as it was, 60 = a minute a second; undefined = as fast as acks allow. */
  readonly speed: number | undefined
  readonly link: LinkOptions
}

export interface ReplayResult extends CsvCounts {
  readonly published: number
  readonly acked: number
  readonly remarks: number
  readonly ackP50Ms: number
  readonly ackP99Ms: number
}

const WAIT_MAX_MS = 2_147_483_647

/** The CSV files of the given paths, folders opened, in name order. */
export async function csvFilesOf(paths: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const path of paths) {
    const isFolder = await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isFolder) files.push(path)
    else {
      const names = (await readdir(path)).filter((name) => /\.csv$/i.test(name)).sort()
      files.push(...names.map((name) => join(path, name)))
    }
  }
  return files
}

export class CsvReplay {
  readonly #options: ReplayOptions
  readonly #ledger: AckedLedger
  readonly #link: DeviceLink
  readonly #reader: CsvReader
  readonly #returned: Outbox
  readonly #latencies = new LatencyHistogram()
  readonly #report: (sentence: string) => void
  readonly #mqttTopic: string
  #sequence = 0
  #acked = 0
  #remarks = 0
  #firstTimeMs: number | undefined
  #startedMs = 0
  #wake: (() => void) | undefined

  /** `report` gets a sentence for each damaged row, remark and trouble with the link. */
  constructor(
    options: ReplayOptions,
    ledger: AckedLedger,
    random: Random,
    report: (sentence: string) => void,
  ) {
    this.#options = options
    this.#ledger = ledger
    this.#report = report
    this.#reader = new CsvReader(options.csv)
    this.#returned = new Outbox(options.link.window)
    this.#mqttTopic = topicFor(options.mqttTopic, options.controller, 'row')
    this.#link = new DeviceLink(options.link, random, {
      onRoom: () => this.#wake?.(),
      onConnect: () => {},
      onProblem: report,
    })
  }

  get isConnected(): boolean {
    return this.#link.isConnected
  }

  /** Ends when every row is acked, or when `signal` says so. */
  async run(signal: AbortSignal): Promise<ReplayResult> {
    const files = await csvFilesOf(this.#options.paths)
    const stop = () => this.#wake?.()
    signal.addEventListener('abort', stop)
    try {
      await this.#link.start()
      this.#startedMs = performance.now()
      for (const file of files) await this.#replayFile(file, signal)
      await this.#until(() => this.#link.inFlight === 0 && this.#returned.size === 0, signal)
    } finally {
      signal.removeEventListener('abort', stop)
      await this.#link.down({ isAbrupt: false })
    }
    return this.result()
  }

  result(): ReplayResult {
    return {
      ...this.#reader.counts,
      published: this.#sequence,
      acked: this.#acked,
      remarks: this.#remarks,
      ackP50Ms: this.#latencies.quantile(0.5),
      ackP99Ms: this.#latencies.quantile(0.99),
    }
  }

  async #replayFile(file: string, signal: AbortSignal): Promise<void> {
    for await (const item of this.#reader.read(file)) {
      if (signal.aborted) return
      switch (item.kind) {
        case 'damaged':
          this.#report(`${item.file}:${item.line}: damaged: ${item.reason}`)
          break
        case 'remark':
          this.#remarks++
          this.#report(`${item.file}:${item.line}: ${item.text}`)
          break
        case 'row':
          await this.#pace(item.timeMs, signal)
          await this.#until(() => this.#link.hasRoom && this.#returned.size === 0, signal)
          if (!signal.aborted) this.#publishRow(item)
      }
    }
  }

  #publishRow(row: CsvRow): void {
    const sequence = ++this.#sequence
    const { controller, format } = this.#options
    const payload = encodeMessage(
      format,
      { device: controller, sequence, timeMs: row.timeMs },
      { time: new Date(row.timeMs).toISOString(), values: row.values },
    )
    this.#ledger.published(controller, sequence)
    this.#publish({ sequence, payload, takenAtMs: performance.now() })
  }

  #publish(entry: { sequence: number; payload: Buffer; takenAtMs: number }): void {
    this.#link.publish(this.#mqttTopic, entry.payload, (isDone) => {
      if (isDone) {
        this.#acked++
        this.#latencies.record(performance.now() - entry.takenAtMs)
        if (this.#options.link.qos > 0) this.#ledger.acked(this.#options.controller, entry.sequence)
      } else this.#returned.put(entry)
      this.#wake?.()
    })
  }

  /** Waits for the row's moment at the wanted speed. */
  async #pace(timeMs: number, signal: AbortSignal): Promise<void> {
    const { speed } = this.#options
    this.#firstTimeMs ??= timeMs
    if (speed === undefined) return
    const dueMs = this.#startedMs + (timeMs - this.#firstTimeMs) / speed
    while (!signal.aborted) {
      this.#resend()
      // A timer may come a little early, so that one is not enough.
      const wait = Math.ceil(dueMs - performance.now())
      if (wait <= 0) break
      const timer = setTimeout(() => this.#wake?.(), Math.min(WAIT_MAX_MS, wait))
      await this.#woken()
      clearTimeout(timer)
    }
  }

  /** Sleeps until the condition holds; whatever may change it calls `#wake`. */
  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#resend()
      if (condition()) break
      await this.#woken()
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** What the link gave back goes first. */
  #resend(): void {
    while (this.#link.hasRoom) {
      const entry = this.#returned.take()
      if (entry === undefined) return
      this.#publish(entry)
    }
  }
}
