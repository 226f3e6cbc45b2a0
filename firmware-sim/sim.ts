// `tributary sim`: a fleet or a replay from start to summary.
//
// Ends after its seconds, when the replay is through, or when the signal says so; then the last acks
// are waited for, everything disconnects and the summary is written. A broker that nobody reaches in
// the first ten seconds is an error, one that goes away later is the weather.

import { readFile } from 'node:fs/promises'
import { type CredentialTemplate, deviceIdProblem, identityOf } from '../devices/identity.ts'
import { fetchConfiguration } from './configuration.ts'
import { CsvReplay, csvFilesOf, type ReplayResult } from './csv-replay.ts'
import type { TlsOptions } from './device-link.ts'
import { Fleet, type FleetOptions, type FleetStats } from './fleet.ts'
import { AckedLedger } from './ledger.ts'
import { Random } from './prng.ts'
import { causeOf, SimError } from './sim-error.ts'
import type { ReplayFile, SimOptions, TlsFiles } from './sim-file.ts'

export interface SimTerminal {
  /** A line for the user, without its end. */
  write(line: string): void
  /** Stops the run cleanly. */
  readonly signal?: AbortSignal | undefined
}

export interface SimResult {
  readonly published: number
  readonly acked: number
  readonly dropped: number
  /** Published and, at the end, neither acked nor dropped. */
  readonly unacked: number
  readonly seconds: number
  readonly ledger: AckedLedger
  readonly fleet: FleetStats | undefined
  readonly replay: ReplayResult | undefined
}

const FIRST_CONNECT_MS = 10_000
const PROGRESS_MS = 1_000
/** Lines about trouble of one run; the rest is only counted. */
const PROBLEMS_SHOWN_MAX = 20

/** Runs to the end; a SimError says why it could not. */
export async function runSim(options: SimOptions, terminal: SimTerminal): Promise<SimResult> {
  const run = new Run(terminal)
  try {
    const credentials = await readCredentials(options)
    const tls = options.tls === undefined ? undefined : await readTls(options.tls)
    const started = performance.now()
    const ran =
      options.replay === undefined
        ? await runFleet(options, { ...toFleetOptions(options), credentials, tls }, run)
        : await runReplay(options, options.replay, { credentials, tls }, run)
    const seconds = (performance.now() - started) / 1_000
    if (options.ledgerPath !== undefined) {
      await writeLedger(ran.ledger, options.ledgerPath)
      terminal.write(`ledger of ${ran.ledger.size} acked messages: ${options.ledgerPath}`)
    }
    return { ...ran, seconds }
  } finally {
    run.close()
  }
}

type Ran = Omit<SimResult, 'seconds'>

/** What a run of either kind needs: to stop, and to say things without flooding the user. */
class Run {
  readonly terminal: SimTerminal
  readonly stop = new AbortController()
  problems = 0
  lastProblem = ''
  readonly #onAbort = () => this.stop.abort()

  constructor(terminal: SimTerminal) {
    this.terminal = terminal
    if (terminal.signal?.aborted) this.stop.abort()
    terminal.signal?.addEventListener('abort', this.#onAbort)
  }

  readonly report = (sentence: string): void => {
    this.lastProblem = sentence
    if (++this.problems <= PROBLEMS_SHOWN_MAX) this.terminal.write(sentence)
    if (this.problems === PROBLEMS_SHOWN_MAX) this.terminal.write('further such lines are left out')
  }

  /** Resolves when the run stops, or after `ms`; true = there was time left. */
  stopped(ms: number): Promise<boolean> {
    const { signal } = this.stop
    if (signal.aborted) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve(signal.aborted)
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
    })
  }

  close(): void {
    this.terminal.signal?.removeEventListener('abort', this.#onAbort)
  }
}

async function runFleet(options: SimOptions, fleetOptions: FleetOptions, run: Run): Promise<Ran> {
  const problem = deviceIdProblem(`${options.idPrefix}0001`)
  if (problem !== undefined) throw new SimError('SIM_INPUT', `idPrefix: ${problem}`)
  const { terminal } = run
  const fleet = new Fleet(fleetOptions, run.report)
  terminal.write(
    `${options.devices} devices → ${options.broker}, ${options.rate} msg/s, QoS ${options.qos}, ${options.format}, seed ${options.seed}`,
  )
  fleet.start()
  const polling = pollConfiguration(options, fleet, run)
  const started = performance.now()
  let fault: SimError | undefined
  for (let last = 0; !run.stop.signal.aborted; ) {
    const elapsedMs = performance.now() - started
    const leftMs = options.seconds === undefined ? PROGRESS_MS : options.seconds * 1_000 - elapsedMs
    if (leftMs < 10) break
    await run.stopped(Math.min(PROGRESS_MS, leftMs))
    const stats = fleet.stats()
    if (stats.connects === 0 && performance.now() - started > FIRST_CONNECT_MS) {
      fault = unreachable(options.broker, run)
      break
    }
    terminal.write(progressLine(stats, performance.now() - started, stats.acked - last))
    last = stats.acked
  }
  run.stop.abort()
  const unacked = await fleet.stop(fault === undefined ? options.drainMs : 0)
  await polling
  if (fault !== undefined) throw fault
  const stats = fleet.stats()
  if (stats.connects === 0 && stats.published > 0) throw unreachable(options.broker, run)
  terminal.write(
    `published ${stats.published}, ${doneWord(options)} ${stats.acked}, dropped by devices ${stats.dropped}, unacked ${unacked}; ack p50 ${ms(stats.ackP50Ms)}, p99 ${ms(stats.ackP99Ms)}`,
  )
  return {
    published: stats.published,
    acked: stats.acked,
    dropped: stats.dropped,
    unacked,
    ledger: fleet.ledger,
    fleet: stats,
    replay: undefined,
  }
}

async function runReplay(
  options: SimOptions,
  file: ReplayFile,
  access: { readonly credentials: CredentialTemplate; readonly tls: TlsOptions | undefined },
  run: Run,
): Promise<Ran> {
  const problem = deviceIdProblem(file.controller)
  if (problem !== undefined) throw new SimError('SIM_INPUT', `replay.controller: ${problem}`)
  const files = await csvFilesOf(file.paths)
  if (files.length === 0) {
    throw new SimError('SIM_INPUT', `replay.files: no CSV files in ${file.paths.join(', ')}`)
  }
  const { username, password } = identityOf(file.controller, access.credentials)
  const { mqttTopic, format, qos, isPersistent, keepAliveS, window } = options
  const link = { clientId: file.controller, username, password, tls: access.tls }
  const ledger = new AckedLedger()
  const replay = new CsvReplay(
    {
      paths: files,
      csv: file.csv,
      controller: file.controller,
      mqttTopic,
      format,
      speed: file.speed,
      link: { brokerUrl: options.broker, qos, isPersistent, keepAliveS, window, ...link },
    },
    ledger,
    new Random(options.seed).fork(file.controller),
    run.report,
  )
  const started = performance.now()
  const { terminal } = run
  terminal.write(`${files.length} CSV files as ${file.controller} → ${options.broker}, QoS ${qos}`)
  let fault: SimError | undefined
  const progress = setInterval(() => {
    const elapsed = performance.now() - started
    const { published, acked, damaged } = replay.result()
    if (acked === 0 && !replay.isConnected && elapsed > FIRST_CONNECT_MS) {
      fault = unreachable(options.broker, run)
      run.stop.abort()
    }
    if (options.seconds !== undefined && elapsed >= options.seconds * 1_000) run.stop.abort()
    terminal.write(
      `${clock(elapsed)}  rows ${published}  ${doneWord(options)} ${acked}  damaged ${damaged}`,
    )
  }, PROGRESS_MS)
  const result = await replay.run(run.stop.signal).finally(() => clearInterval(progress))
  if (fault !== undefined) throw fault
  terminal.write(
    `lines ${result.lines} = headers ${result.headers} + rows ${result.rows} + damaged ${result.damaged}; published ${result.published}, ${doneWord(options)} ${result.acked}, remarks ${result.remarks}; ack p50 ${ms(result.ackP50Ms)}, p99 ${ms(result.ackP99Ms)}`,
  )
  const { published, acked } = result
  const counts = { published, acked, dropped: 0, unacked: published - acked }
  return { ...counts, ledger, fleet: undefined, replay: result }
}

/** Each device asks for itself, one after the other, so that a fleet is no flood for the server. */
async function pollConfiguration(options: SimOptions, fleet: Fleet, run: Run): Promise<void> {
  const { configuration } = options
  if (configuration === undefined) return
  const etags = new Map<string, string>()
  const { signal } = run.stop
  do {
    for (const device of fleet.devices) {
      if (signal.aborted) return
      const url = configuration.url.replaceAll('{device}', encodeURIComponent(device.id))
      try {
        const outcome = await fetchConfiguration({ url, etag: etags.get(device.id), signal })
        if (outcome.kind === 'unchanged') continue
        device.apply(outcome.settings)
        if (outcome.etag !== undefined) etags.set(device.id, outcome.etag)
      } catch (error) {
        if (!signal.aborted) run.report(causeOf(error))
      }
    }
  } while (!(await run.stopped(configuration.everyMs)))
}

function unreachable(broker: string, run: Run): SimError {
  const why = run.lastProblem === '' ? 'no answer' : run.lastProblem
  return new SimError(
    'SIM_UNREACHABLE',
    `no device could connect to ${broker} (${why}); is it running?`,
  )
}

function toFleetOptions(options: SimOptions): Omit<FleetOptions, 'credentials' | 'tls'> {
  return {
    brokerUrl: options.broker,
    devices: options.devices,
    rate: options.rate,
    seed: options.seed,
    idPrefix: options.idPrefix,
    mqttTopic: options.mqttTopic,
    format: options.format,
    qos: options.qos,
    isPersistent: options.isPersistent,
    keepAliveS: options.keepAliveS,
    window: options.window,
    outboxMessages: options.outboxMessages,
    hasFlash: options.hasFlash,
    driftPpm: options.driftPpm,
    faults: options.faults,
    duty: options.duty,
  }
}

async function readCredentials(options: SimOptions): Promise<CredentialTemplate> {
  const { passwordFile, fleetSecretFile, credentials } = options
  if (fleetSecretFile !== undefined) {
    return { ...credentials, fleetSecret: await readSecret(fleetSecretFile) }
  }
  return passwordFile === undefined
    ? credentials
    : { ...credentials, password: await readSecret(passwordFile) }
}

async function readSecret(path: string): Promise<string> {
  return (await readInput(path)).toString('utf8').trim()
}

async function readTls(files: TlsFiles): Promise<TlsOptions> {
  const read = (path: string | undefined) => (path === undefined ? undefined : readInput(path))
  const [ca, cert, key] = await Promise.all([files.caFile, files.certFile, files.keyFile].map(read))
  return { ca, cert, key, rejectUnauthorized: files.verify }
}

async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new SimError('SIM_INPUT', `${path} cannot be read: ${causeOf(error)}`, { cause: error })
  }
}

async function writeLedger(ledger: AckedLedger, path: string): Promise<void> {
  try {
    await ledger.write(path)
  } catch (error) {
    throw new SimError('SIM_INPUT', `ledger ${path} cannot be written: ${causeOf(error)}`)
  }
}

function progressLine(stats: FleetStats, elapsedMs: number, ackedNow: number): string {
  return [
    clock(elapsedMs),
    `connected ${stats.connected}/${stats.devices}`,
    `${ackedNow} msg/s`,
    `published ${stats.published}`,
    `acked ${stats.acked}`,
    `waiting ${stats.pending}`,
    `ack p50 ${ms(stats.ackP50Ms)} p99 ${ms(stats.ackP99Ms)}`,
  ].join('  ')
}

/** With QoS 0 nobody confirms anything. */
function doneWord(options: SimOptions): string {
  return options.qos === 0 ? 'sent' : 'acked'
}

function clock(elapsedMs: number): string {
  const seconds = Math.round(elapsedMs / 1_000)
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
}
