// From the words behind `tributary` to an exit code: finds the command, gives help, turns faults into
// one sentence on stderr. A stack is shown only with --debug.

import { AgentError, codeOf, type ErrorCode } from '../base/errors.ts'
import { didYouMean } from '../config/did-you-mean.ts'
import { EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { COMMANDS, type Registration } from './registry.ts'
import { VERSION } from './version.ts'

/** Runs one command line; never throws. */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  const { words, debug, help } = separate(args)
  try {
    return await dispatch(words, help, terminal)
  } catch (error) {
    if (codeOf(error) === 'EPIPE') return EXIT.good
    await printLine(terminal.stderr, sentenceOf(error, words[0]))
    if (debug && error instanceof Error) await printLine(terminal.stderr, String(error.stack))
    return exitCodeOf(error)
  }
}

/** --debug and --help belong to every command; behind `--` they are plain words. */
function separate(args: readonly string[]): { words: string[]; debug: boolean; help: boolean } {
  const end = args.includes('--') ? args.indexOf('--') : args.length
  const options = args.slice(0, end)
  const has = (...names: string[]) => options.some((arg) => names.includes(arg))
  const own = ['--debug', '--help', '-h']
  const words = [...options.filter((arg) => !own.includes(arg)), ...args.slice(end)]
  return { words, debug: has('--debug'), help: has('--help', '-h') }
}

async function dispatch(
  [name, ...rest]: readonly string[],
  help: boolean,
  terminal: Terminal,
): Promise<ExitCode> {
  if (name === '--version' || name === '-V' || name === 'version') {
    await printLine(terminal.stdout, VERSION)
    return EXIT.good
  }
  if (name === 'help' && rest[0] !== undefined) return dispatch([rest[0]], true, terminal)
  if (name === undefined || name === 'help') {
    await printLine(help || name === 'help' ? terminal.stdout : terminal.stderr, overview())
    return help || name === 'help' ? EXIT.good : EXIT.usage
  }
  const found = findCommand(name)
  if (found === undefined) {
    const hint = didYouMean(name, Object.keys(COMMANDS)) || '; tributary --help lists them'
    throw new AgentError('INPUT_USAGE', `unknown command ${name}${hint}`)
  }
  if (found.load === undefined) {
    throw new AgentError('INPUT_USAGE', `tributary ${name} (${found.summary}): not in this version`)
  }
  const { command } = await found.load()
  if (!help) return command.run(rest, terminal)
  await printLine(terminal.stdout, command.help.trimEnd())
  return EXIT.good
}

function findCommand(name: string): Registration | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
}

function overview(): string {
  const names = Object.entries(COMMANDS).filter(([, { load }]) => load !== undefined)
  return [
    `tributary ${VERSION}: MQTT in, a local Kafka log, exact replication to Apache Kafka`,
    '',
    ...names.map(([name, { summary }]) => `  tributary ${name.padEnd(10)} ${summary}`),
    '',
    'tributary COMMAND --help says more. --debug shows the stack of a fault.',
  ].join('\n')
}

function sentenceOf(error: unknown, command: string | undefined): string {
  if (error instanceof AgentError) {
    const hasHelp = command !== undefined && findCommand(command)?.load !== undefined
    const hint = error.code === 'INPUT_USAGE' && hasHelp ? ` (tributary ${command} --help)` : ''
    return error.message + hint
  }
  const text = error instanceof Error ? error.message : String(error)
  return isSystemError(error) ? text : `a bug in tributary: ${text} (--debug shows where)`
}

/** A disk or a network that failed where no one gave it a better sentence. */
function isSystemError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'syscall' in error
}

const EXIT_CODES: Partial<Record<ErrorCode, ExitCode>> = {
  INPUT_CONFIG: EXIT.config,
  INPUT_USAGE: EXIT.usage,
  UPSTREAM_UNREACHABLE: EXIT.unreachable,
  UPSTREAM_RETRY: EXIT.unreachable,
  LISTENER_IN_USE: EXIT.unreachable,
  STORE_IN_USE: EXIT.unreachable,
  STORE_MISMATCH: EXIT.config,
  TIMEOUT: EXIT.unreachable,
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof AgentError) return EXIT_CODES[error.code] ?? EXIT.notGood
  return isSystemError(error) ? EXIT.notGood : EXIT.bug
}
