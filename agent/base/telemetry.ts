// Logger and metrics. Every counter exists from the start at 0; nothing here does I/O of its own
// but the logger's `write`. Metric names are Prometheus's: base units, counters end in _total.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const LEVEL_RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

export interface LoggerOptions {
  level: LogLevel
  format: 'json' | 'text'
  write: (line: string) => void
  now: () => number
}

/** One line an event. Fields must hold no secret. */
export class Logger {
  readonly #options: LoggerOptions

  constructor(options: LoggerOptions) {
    this.#options = options
  }

  debug(message: string, fields?: Record<string, unknown>): void {
    this.#log('debug', message, fields)
  }

  info(message: string, fields?: Record<string, unknown>): void {
    this.#log('info', message, fields)
  }

  warn(message: string, fields?: Record<string, unknown>): void {
    this.#log('warn', message, fields)
  }

  error(message: string, fields?: Record<string, unknown>): void {
    this.#log('error', message, fields)
  }

  #log(level: LogLevel, message: string, fields: Record<string, unknown> = {}): void {
    const { write, format, now } = this.#options
    if (LEVEL_RANK[level] < LEVEL_RANK[this.#options.level]) return
    const time = new Date(now()).toISOString()
    if (format === 'json') {
      write(`${JSON.stringify({ time, level, message, ...fields })}\n`)
      return
    }
    const rest = Object.entries(fields).map(
      ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    write(`${time} ${level.padEnd(5)} ${message}${rest.join('')}\n`)
  }
}

/** A logger that says nothing, for tests and short commands. */
export const silentLogger = new Logger({
  level: 'error',
  format: 'text',
  write: () => {},
  now: () => 0,
})

export type Labels = Readonly<Record<string, string | number>>

export interface Counter {
  add(amount?: number): void
  readonly value: number
}

export interface Gauge {
  set(value: number): void
  readonly value: number
}

export interface Histogram {
  observe(value: number): void
  /** The smallest bucket bound that holds this share (0…1) of the observations. */
  quantile(share: number): number
  readonly count: number
  readonly sum: number
}

/** Samples of one family as they are now. */
type Gather = () => Iterable<readonly [labels: Labels, value: number]>

interface Family {
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  gather?: Gather
  samples: Map<string, { labels: Labels; metric: Cell | Buckets | (() => number) }>
}

class Cell implements Counter, Gauge {
  value = 0

  add(amount = 1): void {
    this.value += amount
  }

  set(value: number): void {
    this.value = value
  }
}

/** Seconds, 0.1 ms to 60 s. */
export const DURATION_BUCKETS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  60,
]

class Buckets implements Histogram {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  count = 0
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let slot = 0
    while (slot < this.bounds.length && value > this.bounds[slot]!) slot++
    this.counts[slot]!++
    this.count++
    this.sum += value
  }

  quantile(share: number): number {
    let seen = 0
    for (let slot = 0; slot < this.counts.length; slot++) {
      seen += this.counts[slot]!
      if (this.count > 0 && seen >= share * this.count) return this.bounds[slot] ?? Infinity
    }
    return 0
  }
}

/** All metrics of one agent. */
export class Metrics {
  readonly #families = new Map<string, Family>()

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return this.#cell('counter', name, help, labels, () => new Cell()) as Cell
  }

  gauge(name: string, help: string, labels: Labels = {}): Gauge {
    return this.#cell('gauge', name, help, labels, () => new Cell()) as Cell
  }

  /** A gauge or counter whose value is read when somebody asks. */
  observed(
    type: 'gauge' | 'counter',
    name: string,
    help: string,
    read: () => number,
    labels: Labels = {},
  ): void {
    const { samples } = this.#family(type, name, help)
    samples.set(labelText(labels), { labels, metric: read })
  }

  /** A whole family that is read when somebody asks: labels come and go with what they stand for. */
  gathered(type: 'gauge' | 'counter', name: string, help: string, read: Gather): void {
    this.#family(type, name, help).gather = read
  }

  histogram(name: string, help: string, bounds = DURATION_BUCKETS, labels: Labels = {}): Histogram {
    return this.#cell('histogram', name, help, labels, () => new Buckets(bounds)) as Buckets
  }

  /** Prometheus text exposition format 0.0.4. */
  text(): string {
    const lines: string[] = []
    for (const [name, { help, type, samples, gather }] of this.#families) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      for (const [text, { labels, metric }] of samples) {
        if (metric instanceof Buckets) lines.push(...histogramLines(name, labels, metric))
        else lines.push(`${name}${text} ${typeof metric === 'function' ? metric() : metric.value}`)
      }
      for (const [labels, value] of gather?.() ?? []) {
        lines.push(`${name}${labelText(labels)} ${value}`)
      }
    }
    return `${lines.join('\n')}\n`
  }

  #family(type: Family['type'], name: string, help: string): Family {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { help, type, samples: new Map() }
      this.#families.set(name, family)
    }
    return family
  }

  #cell(
    type: Family['type'],
    name: string,
    help: string,
    labels: Labels,
    create: () => Cell | Buckets,
  ): Cell | Buckets {
    const { samples } = this.#family(type, name, help)
    const text = labelText(labels)
    const known = samples.get(text)
    if (known !== undefined && typeof known.metric !== 'function') return known.metric
    const metric = create()
    samples.set(text, { labels, metric })
    return metric
  }
}

function histogramLines(name: string, labels: Labels, histogram: Buckets): string[] {
  let cumulative = 0
  const lines = histogram.bounds.map((bound, slot) => {
    cumulative += histogram.counts[slot]!
    return `${name}_bucket${labelText({ ...labels, le: bound })} ${cumulative}`
  })
  lines.push(`${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${histogram.count}`)
  lines.push(`${name}_sum${labelText(labels)} ${histogram.sum}`)
  lines.push(`${name}_count${labelText(labels)} ${histogram.count}`)
  return lines
}

function labelText(labels: Labels): string {
  const entries = Object.entries(labels)
  if (entries.length === 0) return ''
  const quoted = (value: string | number) =>
    String(value).replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
  return `{${entries.map(([key, value]) => `${key}="${quoted(value)}"`).join(',')}}`
}
