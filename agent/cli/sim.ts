// tributary sim [FILE]: the simulated fleet, or a replay of CSV files, as real MQTT clients.

import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { runSim, type SimResult } from '../../firmware-sim/sim.ts'
import { checkSimFile, type SimOptions } from '../../firmware-sim/sim-file.ts'
import { AgentError, codeOf, type ErrorCode } from '../base/errors.ts'
import { type Problem, plainValue, readYaml } from '../config/yaml-source.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, printLine } from './command.ts'

const FAULTS: Readonly<Record<string, ErrorCode>> = {
  SIM_INPUT: 'INPUT_USAGE',
  SIM_UNREACHABLE: 'UPSTREAM_UNREACHABLE',
  SIM_REFUSED: 'UPSTREAM_REFUSED',
}

export const command: Command = {
  help: `tributary sim [FILE] [--devices N] [--rate MSG_PER_S] [--seconds N] [--broker URL] [--seed N]

Devices with physics, faults and offline buffers that publish to an MQTT broker. FILE (YAML) may say
more: payload format, faults, duty cycle, TLS, a ledger of what was acked, or a replay of CSV files.
Paths in FILE are relative to it. Exits 1 when messages stayed unacked.

  --devices N          (default: 10)
  --rate MSG_PER_S     of the whole fleet (default: 10)
  --seconds N          (default: until Ctrl-C)
  --broker URL         mqtt:// or mqtts:// (default: mqtt://127.0.0.1:1883)
  --seed N             the same seed, the same fleet (default: 1)`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: {
        devices: { type: 'string' },
        rate: { type: 'string' },
        seconds: { type: 'string' },
        broker: { type: 'string' },
        seed: { type: 'string' },
      },
      positionals: ['[FILE]'],
    })
    const [file] = positionals
    const path = file === undefined ? undefined : resolve(terminal.directory, file)
    const written = path === undefined ? {} : await readSimFile(path, file!)
    const overrides = {
      ...numbers(values, ['devices', 'rate', 'seconds', 'seed']),
      ...(values.broker === undefined ? {} : { broker: values.broker }),
    }
    const checked = checkSimFile({ ...written, ...overrides }, file ?? 'tributary sim')
    if (checked.kind === 'invalid') {
      throw new AgentError('INPUT_USAGE', checked.problems.join('\n'))
    }
    const folder = path === undefined ? terminal.directory : dirname(path)
    const stop = new AbortController()
    const release = terminal.onInterrupt(() => stop.abort())
    try {
      const result = await runSim(withPaths(checked.options, folder), {
        write: (line) => void printLine(terminal.stdout, line),
        signal: stop.signal,
      })
      return exitOf(result)
    } catch (error) {
      const code = FAULTS[codeOf(error)]
      if (code === undefined || !(error instanceof Error)) throw error
      throw new AgentError(code, error.message, { cause: error })
    } finally {
      release()
    }
  },
}

function exitOf({ unacked }: SimResult) {
  return unacked > 0 ? EXIT.notGood : EXIT.good
}

async function readSimFile(path: string, shown: string): Promise<Record<string, unknown>> {
  const problems: Problem[] = []
  let source: string
  try {
    source = await readFile(path, 'utf8')
  } catch (error) {
    throw usageError(`${shown} cannot be read (${codeOf(error)})`)
  }
  const raw = readYaml(source, (line) => `${shown}:${line}`, problems)
  if (problems.length > 0) {
    const lines = problems.map(({ place, sentence }) => `${place}: ${sentence}`)
    throw usageError(lines.join('\n'))
  }
  const value = plainValue(raw) ?? {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw usageError(`${shown}: expected keys such as devices: and rate:`)
}

/** Options that are numbers; what is none goes on as text, and is refused with its key. */
function numbers(
  values: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
): Record<string, unknown> {
  const found = names.flatMap((name) => {
    const text = values[name]
    if (text === undefined) return []
    return [[name, /^\d+(\.\d+)?$/.test(text) ? Number(text) : text] as const]
  })
  return Object.fromEntries(found)
}

function withPaths(options: SimOptions, folder: string): SimOptions {
  const absolute = (path: string | undefined) =>
    path === undefined ? undefined : resolve(folder, path)
  const { tls, replay } = options
  return {
    ...options,
    passwordFile: absolute(options.passwordFile),
    fleetSecretFile: absolute(options.fleetSecretFile),
    ledgerPath: absolute(options.ledgerPath),
    tls: tls && {
      ...tls,
      caFile: absolute(tls.caFile),
      certFile: absolute(tls.certFile),
      keyFile: absolute(tls.keyFile),
    },
    replay: replay && { ...replay, paths: replay.paths.map((path) => resolve(folder, path)) },
  }
}
