// The file of `tributary sim FILE`, given already parsed, checked into complete options:
//
//   broker: mqtt://127.0.0.1:1883     devices: 10       rate: 10 (messages a second, of the fleet)
//   seconds: 60                       # absent: until Ctrl-C
//   seed: 1                           # the same seed, the same fleet
//   qos: 1                            format: json      # json | cbor
//   mqttTopic: sensors/{device}/{metric}                idPrefix: dev-
//   persistent: true                  keepAlive: 60s    # session and keep-alive of every device
//   window: 20                        outbox: 1000      # messages in flight / waiting, per device
//   flash: true                       # the outbox survives a reboot
//   credentials: { username: "{device}", password: ?, passwordFile: ?, fleetSecretFile: ? }
//   tls: { caFile: ?, certFile: ?, keyFile: ?, verify: true }
//   clock: { driftPpm: 50 }
//   faults: { cutEvery: ?, stallEvery: ?, rebootEvery: ?, down: 2s }    # mean times, per device
//   duty: { awake: 10s, asleep: 50s } # the radio is on, the radio is off; absent: always on
//   configuration: { url: "http://…/devices/{device}/configuration", every: 60s }
//   drain: 5s                         # at the end, for the last acks
//   ledger: acked.jsonl               # what was confirmed, for a proof at the other end
//   replay:                           # CSV files instead of a fleet
//     files: [plant/]                 controller: controller-1      speed: 60   # absent: flat out
//     zone: Europe/Berlin             sentinels: [888.8, -9999]     textColumns: [Version]
//     interval: 1m
//
// Durations are 500ms, 10s, 5m, 2h, 1d or seconds as a number.

import type { CredentialTemplate } from '../devices/identity.ts'
import { nearest, shorten, unknownKeys } from '../devices/suggestion.ts'
import { TimeZone } from '../devices/time-zone.ts'
import { type CsvOptions, SOLAR_PLANT } from './csv-rows.ts'
import type { DutyCycle, Faults } from './device.ts'
import { checkBrokerUrl, type Qos } from './device-link.ts'
import type { MessageFormat } from './message.ts'

export interface SimOptions {
  readonly broker: string
  readonly devices: number
  readonly rate: number
  readonly seconds: number | undefined
  readonly seed: number
  readonly qos: Qos
  readonly format: MessageFormat
  readonly mqttTopic: string
  readonly idPrefix: string
  readonly isPersistent: boolean
  readonly keepAliveS: number
  readonly window: number
  readonly outboxMessages: number
  readonly hasFlash: boolean
  /** Secrets by file are paths here; `runSim` reads them. */
  readonly credentials: CredentialTemplate
  readonly passwordFile: string | undefined
  readonly fleetSecretFile: string | undefined
  readonly tls: TlsFiles | undefined
  readonly driftPpm: number
  readonly faults: Faults
  readonly duty: DutyCycle | undefined
  readonly configuration: { readonly url: string; readonly everyMs: number } | undefined
  readonly drainMs: number
  readonly ledgerPath: string | undefined
  readonly replay: ReplayFile | undefined
}

export interface TlsFiles {
  readonly caFile: string | undefined
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
  readonly verify: boolean
}

export interface ReplayFile {
  readonly paths: readonly string[]
  readonly controller: string
  readonly speed: number | undefined
  readonly csv: CsvOptions
}

export type SimFileCheck =
  | { readonly kind: 'valid'; readonly options: SimOptions }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] }

type Mapping = Readonly<Record<string, unknown>>

const KEYS = [
  ...['broker', 'devices', 'rate', 'seconds', 'seed', 'qos', 'format', 'mqttTopic', 'idPrefix'],
  ...['persistent', 'keepAlive', 'window', 'outbox', 'flash', 'credentials', 'tls', 'clock'],
  ...['faults', 'duty', 'configuration', 'drain', 'ledger', 'replay'],
]
const REPLAY_KEYS = ['files', 'controller', 'speed', 'zone', 'sentinels', 'textColumns', 'interval']
const DEVICES_MAX = 10_000
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }

/** Checks the parsed file; `{}` (no file) gives the defaults. `where` names it in the sentences. */
export function checkSimFile(value: unknown, where: string): SimFileCheck {
  const reader = new SimFileReader(where)
  const options = reader.options(value ?? {})
  if (reader.problems.length > 0) return { kind: 'invalid', problems: reader.problems }
  return { kind: 'valid', options }
}

class SimFileReader {
  readonly problems: string[] = []
  readonly #where: string

  constructor(where: string) {
    this.#where = where
  }

  options(value: unknown): SimOptions {
    const file = this.#mapping(value, '', KEYS)
    const credentials = this.#mapping(file.credentials, 'credentials', [
      ...['username', 'password', 'passwordFile', 'fleetSecretFile'],
    ])
    const clock = this.#mapping(file.clock, 'clock', ['driftPpm'])
    const replay = this.#replay(file.replay)
    return {
      broker: this.#broker(file.broker),
      devices: this.#number(file.devices, 'devices', 10, {
        min: 1,
        max: DEVICES_MAX,
        isWhole: true,
      }),
      rate: this.#number(file.rate, 'rate', 10, { min: 0.001, max: 100_000 }),
      seconds: this.#seconds(file.seconds),
      seed: this.#number(file.seed, 'seed', 1, { min: 0, max: 2 ** 53 - 1, isWhole: true }),
      qos: this.#choice(file.qos, 'qos', [0, 1, 2] as const, 1),
      format: this.#choice(file.format, 'format', ['json', 'cbor'] as const, 'json'),
      mqttTopic: this.#topic(file.mqttTopic, replay === undefined),
      idPrefix: this.#text(file.idPrefix, 'idPrefix') ?? 'dev-',
      isPersistent: this.#flag(file.persistent, 'persistent', true),
      keepAliveS: Math.round((this.#duration(file.keepAlive, 'keepAlive') ?? 60_000) / 1_000),
      window: this.#number(file.window, 'window', 20, { min: 1, max: 10_000, isWhole: true }),
      outboxMessages: this.#number(file.outbox, 'outbox', 1_000, {
        min: 1,
        max: 1e6,
        isWhole: true,
      }),
      hasFlash: this.#flag(file.flash, 'flash', true),
      credentials: {
        username: this.#text(credentials.username, 'credentials.username'),
        password: this.#text(credentials.password, 'credentials.password'),
      },
      passwordFile: this.#text(credentials.passwordFile, 'credentials.passwordFile'),
      fleetSecretFile: this.#text(credentials.fleetSecretFile, 'credentials.fleetSecretFile'),
      tls: this.#tls(file.tls),
      driftPpm: this.#number(clock.driftPpm, 'clock.driftPpm', 50, { min: 0, max: 100_000 }),
      faults: this.#faults(file.faults),
      duty: this.#duty(file.duty),
      configuration: this.#configuration(file.configuration),
      drainMs: this.#duration(file.drain, 'drain') ?? 5_000,
      ledgerPath: this.#text(file.ledger, 'ledger'),
      replay,
    }
  }

  #say(key: string, problem: string): void {
    this.problems.push(
      key === '' ? `${this.#where}: ${problem}` : `${this.#where}: ${key} ${problem}`,
    )
  }

  /** An absent mapping reads as an empty one. */
  #mapping(value: unknown, key: string, known: readonly string[]): Mapping {
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#say(key, `is ${shorten(value)}, expected a mapping with ${known.join(', ')}`)
      return {}
    }
    const where = key === '' ? this.#where : `${this.#where}: ${key}`
    this.problems.push(...unknownKeys(value as Mapping, known, where))
    return value as Mapping
  }

  #broker(value: unknown): string {
    const url = value ?? 'mqtt://127.0.0.1:1883'
    const problem = typeof url === 'string' ? checkBrokerUrl(url)?.message : undefined
    if (problem !== undefined) this.problems.push(`${this.#where}: ${problem}`)
    else if (typeof url !== 'string') this.#say('broker', `is ${shorten(url)}, expected a URL`)
    return String(url)
  }

  #topic(value: unknown, isFleet: boolean): string {
    const topic = value ?? (isFleet ? 'sensors/{device}/{metric}' : 'sensors/{device}/row')
    if (typeof topic !== 'string' || !/^[^+#\0]+$/.test(topic)) {
      this.#say('mqttTopic', `is ${shorten(topic)}, expected a topic without + and #`)
      return ''
    }
    const unknown = [...topic.matchAll(/\{([^}]*)\}/g)].find(
      ([, name]) => name !== 'device' && name !== 'metric',
    )
    if (unknown !== undefined)
      this.#say('mqttTopic', `has ${unknown[0]}; it may use {device}, {metric}`)
    return topic
  }

  #seconds(value: unknown): number | undefined {
    if (value === undefined || value === null) return undefined
    const ms = this.#duration(value, 'seconds')
    return ms === undefined ? undefined : ms / 1_000
  }

  #number(
    value: unknown,
    key: string,
    byDefault: number,
    range: { readonly min: number; readonly max: number; readonly isWhole?: boolean },
  ): number {
    if (value === undefined) return byDefault
    const isFit = typeof value === 'number' && value >= range.min && value <= range.max
    if (isFit && (range.isWhole !== true || Number.isInteger(value))) return value
    const kind = range.isWhole === true ? 'a whole number' : 'a number'
    this.#say(key, `is ${shorten(value)}, expected ${kind} from ${range.min} to ${range.max}`)
    return byDefault
  }

  #choice<T extends string | number>(
    value: unknown,
    key: string,
    all: readonly T[],
    byDefault: T,
  ): T {
    if (value === undefined) return byDefault
    const found = all.find((choice) => choice === value)
    if (found !== undefined) return found
    const near = typeof value === 'string' ? nearest(value, all.map(String)) : undefined
    const hint = near === undefined ? '' : `; did you mean ${near}?`
    this.#say(key, `is ${shorten(value)}, expected ${all.join(', ')}${hint}`)
    return byDefault
  }

  #flag(value: unknown, key: string, byDefault: boolean): boolean {
    if (typeof value === 'boolean') return value
    if (value !== undefined) this.#say(key, `is ${shorten(value)}, expected true or false`)
    return byDefault
  }

  #text(value: unknown, key: string): string | undefined {
    if (value === undefined || value === null) return undefined
    if (typeof value === 'string' && value !== '') return value
    const hint = key.endsWith('username') ? '; in YAML write "{device}", quoted' : ''
    this.#say(key, `is ${shorten(value)}, expected text${hint}`)
    return undefined
  }

  #duration(value: unknown, key: string): number | undefined {
    if (value === undefined || value === null) return undefined
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value * 1_000
    const found = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) : null
    const ms = found === null ? 0 : Number(found[1]) * UNITS[found[2]!]!
    if (ms > 0) return ms
    this.#say(key, `is ${shorten(value)}, expected a duration such as 500ms, 10s, 5m or 2h`)
    return undefined
  }

  #tls(value: unknown): TlsFiles | undefined {
    if (value === undefined) return undefined
    const tls = this.#mapping(value, 'tls', ['caFile', 'certFile', 'keyFile', 'verify'])
    return {
      caFile: this.#text(tls.caFile, 'tls.caFile'),
      certFile: this.#text(tls.certFile, 'tls.certFile'),
      keyFile: this.#text(tls.keyFile, 'tls.keyFile'),
      verify: this.#flag(tls.verify, 'tls.verify', true),
    }
  }

  #faults(value: unknown): Faults {
    const faults = this.#mapping(value, 'faults', ['cutEvery', 'stallEvery', 'rebootEvery', 'down'])
    return {
      cutEveryMs: this.#duration(faults.cutEvery, 'faults.cutEvery'),
      stallEveryMs: this.#duration(faults.stallEvery, 'faults.stallEvery'),
      rebootEveryMs: this.#duration(faults.rebootEvery, 'faults.rebootEvery'),
      downMs: this.#duration(faults.down, 'faults.down') ?? 2_000,
    }
  }

  #duty(value: unknown): DutyCycle | undefined {
    if (value === undefined) return undefined
    const duty = this.#mapping(value, 'duty', ['awake', 'asleep'])
    const awakeMs = this.#duration(duty.awake, 'duty.awake')
    const asleepMs = this.#duration(duty.asleep, 'duty.asleep')
    if (awakeMs !== undefined && asleepMs !== undefined) return { awakeMs, asleepMs }
    this.#say('duty', 'needs awake and asleep')
    return undefined
  }

  #configuration(value: unknown): SimOptions['configuration'] {
    if (value === undefined) return undefined
    const { url, every } = this.#mapping(value, 'configuration', ['url', 'every'])
    const isHttp = typeof url === 'string' && URL.canParse(url) && /^https?:/.test(url)
    if (!isHttp)
      this.#say('configuration.url', `is ${shorten(url)}, expected an http:// or https:// URL`)
    return {
      url: String(url),
      everyMs: this.#duration(every, 'configuration.every') ?? 60_000,
    }
  }

  #replay(value: unknown): ReplayFile | undefined {
    if (value === undefined) return undefined
    const replay = this.#mapping(value, 'replay', REPLAY_KEYS)
    const { files, sentinels, textColumns } = replay
    const zone = this.#text(replay.zone, 'replay.zone') ?? SOLAR_PLANT.zone
    if (TimeZone.named(zone) === undefined) {
      this.#say('replay.zone', `is ${shorten(zone)}, expected a zone such as Europe/Berlin`)
    }
    const paths = typeof files === 'string' ? [files] : files
    const isPaths = isListOf<string>(paths, 'string') && paths.length > 0
    if (!isPaths) this.#say('replay.files', `is ${shorten(files)}, expected files or folders`)
    if (sentinels !== undefined && !isListOf<number>(sentinels, 'number')) {
      this.#say('replay.sentinels', `is ${shorten(sentinels)}, expected a list of numbers`)
    }
    if (textColumns !== undefined && !isListOf<string>(textColumns, 'string')) {
      this.#say('replay.textColumns', `is ${shorten(textColumns)}, expected a list of column names`)
    }
    const speed = replay.speed === 'max' ? undefined : replay.speed
    return {
      paths: isPaths ? paths : [],
      controller: this.#text(replay.controller, 'replay.controller') ?? 'controller-1',
      speed:
        speed === undefined
          ? undefined
          : this.#number(speed, 'replay.speed', 1, { min: 0.001, max: 1e9 }),
      csv: {
        zone,
        sentinels: isListOf<number>(sentinels, 'number') ? sentinels : SOLAR_PLANT.sentinels,
        textColumns: isListOf<string>(textColumns, 'string')
          ? textColumns
          : SOLAR_PLANT.textColumns,
        intervalMs: this.#duration(replay.interval, 'replay.interval') ?? SOLAR_PLANT.intervalMs,
      },
    }
  }
}

function isListOf<T>(value: unknown, type: 'string' | 'number'): value is T[] {
  return Array.isArray(value) && value.every((item) => typeof item === type)
}
