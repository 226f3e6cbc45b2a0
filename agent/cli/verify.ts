// tributary verify: every byte of a stopped agent's store, and every record against the mirror.

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AgentError } from '../base/errors.ts'
import { Metrics } from '../base/telemetry.ts'
import { nodeFileSystem } from '../log/file-system.ts'
import { Log } from '../log/log.ts'
import { lockStore } from '../log/store-lock.ts'
import { type VerifyResult, verifyStore } from '../log/verify.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { type KafkaSession, openSession } from './kafka-session.ts'
import { loadedConfig } from './loaded-config.ts'
import {
  checkMirror,
  type LocalPartition,
  servedPartition,
  storedPartition,
} from './mirror-check.ts'
import { formatCount, sizeUnit } from './table.ts'

const PROGRESS_AFTER_MS = 1_000

interface Values {
  readonly against?: string | undefined
  readonly upstream?: boolean | undefined
  readonly live?: boolean | undefined
  readonly config?: string | undefined
  readonly json?: boolean | undefined
}

export const command: Command = {
  help: `tributary verify [DIR] [--against HOST:PORT | --upstream]
tributary verify --live [--against HOST:PORT]

Reads every byte of the store of a stopped agent and changes none. Exits 1 when something that was
acked can no longer be read as it was written.

  DIR                  the store (default: dataDir of the configuration)
  --against HOST:PORT  also compares every record with the mirror there; the store is recovered
                       first, as at the next start
  --upstream           the same with the upstream of the configuration and its secrets
  --live               only that comparison, through both Kafka listeners of a running agent
  --json               the findings as JSON
  -c, --config FILE    the configuration`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: {
        against: { type: 'string' },
        upstream: { type: 'boolean' },
        live: { type: 'boolean' },
        repair: { type: 'boolean' },
        json: { type: 'boolean' },
        config: { type: 'string', short: 'c' },
      },
      positionals: ['[DIR]'],
    })
    if (values.repair) throw usageError('--repair: not in this version')
    if (values.live) {
      if (positionals[0] !== undefined)
        throw usageError('--live asks the agent, so it takes no DIR')
      return verifyLive(values, terminal)
    }
    const directory = await storeOf(positionals[0], values.config, terminal)
    const result = await verifyLocked(directory, terminal)
    await report(directory, result, values.json === true, terminal)
    if (result.findings.some(({ fatal }) => fatal)) return EXIT.notGood
    if (values.against === undefined && !values.upstream) return EXIT.good
    return verifyAgainst(directory, values, terminal)
  },
}

async function storeOf(
  named: string | undefined,
  file: string | undefined,
  terminal: Terminal,
): Promise<string> {
  const directory =
    named === undefined
      ? (await loadedConfig(terminal, { file, required: false })).config.dataDir
      : resolve(terminal.directory, named)
  const isFolder = await stat(directory).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const names = isFolder ? await nodeFileSystem.list(directory) : []
  if (names.some((name) => /^(journal-\d+|checkpoint-[01])$/.test(name))) return directory
  throw new AgentError('INPUT_USAGE', `${directory} holds no store`)
}

/** Nobody may write while every byte is read. */
async function verifyLocked(directory: string, terminal: Terminal): Promise<VerifyResult> {
  const lock = await lockStore(nodeFileSystem, directory)
  const { stderr, clock } = terminal
  const start = clock.monotonic()
  let [bytesRead, isShown] = [0, false]
  try {
    return await verifyStore(nodeFileSystem, directory, {
      onProgress(_path, bytes) {
        bytesRead += bytes
        if (!stderr.isTTY || clock.monotonic() - start < PROGRESS_AFTER_MS) return
        isShown = true
        stderr.write(`\r${sizeText(bytesRead)} read`)
      },
    })
  } finally {
    if (isShown) stderr.write('\r\x1b[K')
    await lock.release()
  }
}

async function report(
  directory: string,
  { findings, totals }: VerifyResult,
  json: boolean,
  { stdout }: Terminal,
): Promise<void> {
  if (json) return printLine(stdout, JSON.stringify({ directory, findings, totals }))
  for (const { path, position, what, fatal } of findings) {
    const place = position === 0 ? path : `${path} at byte ${position}`
    await printLine(stdout, `${fatal ? 'LOST' : 'note'}  ${place}: ${what}`)
  }
  const lost = findings.filter(({ fatal }) => fatal).length
  const verdict = lost === 0 ? 'good' : `${lost} finding${lost === 1 ? '' : 's'} of lost data`
  const counts = [
    `${formatCount(totals.partitions)} partitions`,
    `${formatCount(totals.segments)} segments`,
    `${formatCount(totals.batches)} batches`,
    `${formatCount(totals.records)} records`,
    sizeText(totals.segmentBytes),
    `${formatCount(totals.journalFrames)} journal frames`,
  ]
  await printLine(stdout, `${directory}: ${verdict} (${counts.join(', ')})`)
}

function sizeText(bytes: number): string {
  const [unit, size] = sizeUnit(bytes)
  return `${size === 1 ? bytes : (bytes / size).toFixed(1)} ${unit}`
}

async function verifyAgainst(
  directory: string,
  values: Values,
  terminal: Terminal,
): Promise<ExitCode> {
  const mirror = await openMirror(values, terminal)
  try {
    const { clock } = terminal
    const log = await Log.open({ directory, clock, logger: mirror.logger, metrics: new Metrics() })
    try {
      const partitions = [...log.topics()]
        .filter(({ replicated }) => replicated)
        .flatMap((topic) => topic.partitions)
        .map((partition) => storedPartition(partition, log.codecs))
      return (await checkMirror(partitions, mirror, terminal)) ? EXIT.good : EXIT.notGood
    } finally {
      await log.close()
    }
  } finally {
    mirror.close()
  }
}

async function verifyLive(values: Values, terminal: Terminal): Promise<ExitCode> {
  const { config } = await loadedConfig(terminal, { file: values.config, required: true })
  const gateway = await openSession({ config: values.config }, terminal)
  try {
    const mirror = await openMirror(values, terminal)
    try {
      const topics = (await gateway.cluster.topics()).filter(
        ({ name, isInternal }) => name?.startsWith(config.topicPrefix) && !isInternal,
      )
      const partitions = topics.flatMap(({ name, partitions }): LocalPartition[] =>
        partitions.map(({ partitionIndex }) =>
          servedPartition(gateway, name ?? '', partitionIndex, terminal),
        ),
      )
      return (await checkMirror(partitions, mirror, terminal)) ? EXIT.good : EXIT.notGood
    } finally {
      mirror.close()
    }
  } finally {
    gateway.close()
  }
}

function openMirror(values: Values, terminal: Terminal): Promise<KafkaSession> {
  const { against, config } = values
  const target = against === undefined ? { upstream: true } : { 'bootstrap-server': against }
  return openSession({ ...target, config }, terminal)
}
