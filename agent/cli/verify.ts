// tributary verify: every byte of a stopped agent's store, its repair, and every record against the
// mirror. What is asked of a running agent is in verify-live.ts.

import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import { Metrics } from '../base/telemetry.ts'
import { nodeFileSystem } from '../log/file-system.ts'
import { Log } from '../log/log.ts'
import { findPartitionDirectories } from '../log/partition-directories.ts'
import { repairStore } from '../log/repair.ts'
import { withReserveOf } from '../log/reserve.ts'
import { lockStore } from '../log/store-lock.ts'
import { type VerifyResult, verifyStore } from '../log/verify.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { loadedConfig } from './loaded-config.ts'
import { checkMirror, storedPartition } from './mirror-check.ts'
import { ProgressBar } from './progress-bar.ts'
import { openMirror, type VerifyValues, verifyLive } from './verify-live.ts'
import { printFindings, sizeText, summary } from './verify-report.ts'

export const command: Command = {
  help: `tributary verify [DIR] [--repair] [--against HOST:PORT | --upstream]
tributary verify --live [--against HOST:PORT | --upstream]

Reads every byte of the store of a stopped agent and changes none. Exits 1 when something that was
acked can no longer be read as it was written. What is lost and has empty records in its place is
told, and is no damage any more.

  DIR                  the store (default: dataDir of the configuration)
  --repair             puts right what can be: what is lost gets empty records in its place, so that
                       offsets stay what they are, and its bytes go to DIR/quarantine
  --live               asks a running agent instead: every record through its Kafka listener, and its
                       offsets against its status
  -b, --bootstrap-server HOST:PORT   for --live, the listener (default: the configuration's)
  --admin HOST:PORT    for --live, the admin listener (default: the configuration's)
  --against HOST:PORT  also compares every record with the mirror there; a store is recovered first,
                       as at the next start
  --upstream           the same with the upstream of the configuration and its secrets
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
        'bootstrap-server': { type: 'string', short: 'b' },
        admin: { type: 'string' },
        config: { type: 'string', short: 'c' },
      },
      positionals: ['[DIR]'],
    })
    if (values.live) {
      if (positionals[0] !== undefined)
        throw usageError('--live asks the agent, so it takes no DIR')
      if (values.repair) throw usageError('--repair needs a stopped agent, so --live excludes it')
      return verifyLive(values, terminal)
    }
    if (values['bootstrap-server'] !== undefined || values.admin !== undefined) {
      throw usageError('-b and --admin are for --live')
    }
    const directory = await storeOf(positionals[0], values.config, terminal)
    const ok = values.repair
      ? await repaired(directory, values.json === true, terminal)
      : await verified(directory, values.json === true, terminal)
    if (!ok) return EXIT.notGood
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
  // A start rebuilds these alone. Kafka's own directories look the same, but for the metadata.
  const parts = { fs: nodeFileSystem, directory, codecs: new Codecs(new Kernel()) }
  const partitions = isFolder ? await findPartitionDirectories(parts) : []
  if (partitions.some(({ metadata }) => metadata !== undefined)) return directory
  throw new AgentError('INPUT_USAGE', `${directory} holds no store`)
}

async function verified(directory: string, json: boolean, terminal: Terminal): Promise<boolean> {
  const { stdout } = terminal
  const result = await verifyLocked(directory, terminal)
  const { ok, findings, losses, totals } = result
  if (json) await printLine(stdout, JSON.stringify({ directory, ok, findings, losses, totals }))
  else {
    await printFindings(stdout, result)
    await printLine(stdout, summary(directory, result))
  }
  return ok
}

/** Nobody may write while every byte is read. */
async function verifyLocked(directory: string, terminal: Terminal): Promise<VerifyResult> {
  // On a full disk, too.
  const fs = withReserveOf(directory, nodeFileSystem, terminal.clock)
  const lock = await lockStore(fs, directory, { device: nodeFileSystem })
  try {
    const bytes = terminal.stderr.isTTY ? await bytesOf(directory) : 0
    return await withProgress(bytes, terminal, (onProgress) =>
      verifyStore(nodeFileSystem, directory, { onProgress }),
    )
  } finally {
    await lock.release()
  }
}

async function repaired(directory: string, json: boolean, terminal: Terminal): Promise<boolean> {
  const { stdout, stderr, clock } = terminal
  const { after, done, complaints } = await withProgress(0, terminal, (onProgress) =>
    repairStore({ fs: nodeFileSystem, directory, clock, onProgress }),
  )
  const { ok, findings, losses, totals } = after
  if (json) {
    await printLine(stdout, JSON.stringify({ directory, ok, done, findings, losses, totals }))
  } else {
    for (const line of done) await printLine(stdout, `fixed ${line}`)
    await printFindings(stdout, after)
    await printLine(stdout, summary(directory, after))
  }
  // What the log had to say is only of use where it could not help.
  if (!ok) for (const complaint of complaints) await printLine(stderr, complaint)
  return ok
}

/** `total`: bytes to read; 0 when nobody knows. */
async function withProgress<T>(
  total: number,
  { stderr, clock }: Terminal,
  work: (onProgress: (path: string, bytes: number) => void) => Promise<T>,
): Promise<T> {
  const bar = new ProgressBar(stderr, clock)
  let read = 0
  try {
    return await work((_path, bytes) => {
      read += bytes
      bar.show(total === 0 ? undefined : read / total, () => `${sizeText(read)} read`)
    })
  } finally {
    bar.clear()
  }
}

/** Of the files whose reading is told. */
async function bytesOf(directory: string): Promise<number> {
  let bytes = 0
  const names = await readdir(directory, { recursive: true })
  for (const name of names.filter((name) => /\.log$|^journal-\d+$/.test(name))) {
    bytes += (await stat(join(directory, name))).size
  }
  return bytes
}

async function verifyAgainst(
  directory: string,
  values: VerifyValues,
  terminal: Terminal,
): Promise<ExitCode> {
  const mirror = await openMirror(values, terminal)
  try {
    const { clock } = terminal
    const { logger } = mirror
    const log = await Log.open({
      ...{ directory, clock, logger, metrics: new Metrics(), retains: false },
    })
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
