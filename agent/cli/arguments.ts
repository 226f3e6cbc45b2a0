// Command lines by node:util's parseArgs, with sentences of our own.

import { type ParseArgsConfig, parseArgs } from 'node:util'
import { AgentError, codeOf } from '../base/errors.ts'
import { nearest } from '../config/did-you-mean.ts'

export type OptionTable = NonNullable<ParseArgsConfig['options']>

interface Parsing<T extends OptionTable> {
  readonly options: T
  /** Names of the positional arguments, those in brackets optional: `['TOPIC', '[PAYLOAD]']`. */
  readonly positionals: readonly string[]
}

type Values<T extends OptionTable> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>['values']

export interface Arguments<T extends OptionTable> {
  readonly values: Values<T>
  readonly positionals: readonly (string | undefined)[]
}

/** INPUT_USAGE when the line does not fit. */
export function parseArguments<const T extends OptionTable>(
  args: readonly string[],
  { options, positionals: names }: Parsing<T>,
): Arguments<T> {
  const { values, positionals } = parseStrictly(bindNegatives(args, options), options)
  const needed = names.filter((name) => !name.startsWith('['))
  if (positionals.length < needed.length) {
    throw usageError(`${needed[positionals.length]} is missing`)
  }
  const extra = positionals[names.length]
  if (extra !== undefined) throw usageError(`"${extra}" is one argument too many`)
  return { values, positionals }
}

export function usageError(sentence: string): AgentError {
  return new AgentError('INPUT_USAGE', sentence)
}

function parseStrictly<T extends OptionTable>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (error) {
    throw usageError(sentenceOf(error, options))
  }
}

function sentenceOf(error: unknown, options: OptionTable): string {
  const message = error instanceof Error ? error.message : String(error)
  const option = /'(?:-\w, )?(--?[^' ]+)/.exec(message)?.[1] ?? ''
  switch (codeOf(error)) {
    case 'ERR_PARSE_ARGS_UNKNOWN_OPTION': {
      const near = nearest(option, Object.keys(options))
      return `unknown option ${option}${near === undefined ? '' : `; did you mean --${near}?`}`
    }
    case 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE':
      return /does not take/.test(message) ? `${option} takes no value` : `${option} needs a value`
    default:
      return message
  }
}

/** `--from -100` means what it says: a value that looks like a negative number is no option. */
function bindNegatives(args: readonly string[], options: OptionTable): string[] {
  const takesValue = (arg: string): boolean => {
    const isOption = (name: string, short: string | undefined) =>
      arg === `--${name}` || (short !== undefined && arg === `-${short}`)
    return Object.entries(options).some(
      ([name, { type, short }]) => type === 'string' && isOption(name, short),
    )
  }
  const bound: string[] = []
  for (let at = 0; at < args.length; at++) {
    const [arg, next] = [args[at]!, args[at + 1]]
    if (arg === '--') return [...bound, ...args.slice(at)]
    if (next !== undefined && /^-\d/.test(next) && takesValue(arg)) {
      bound.push(arg.startsWith('--') ? `${arg}=${next}` : `${arg}${next}`)
      at++
    } else {
      bound.push(arg)
    }
  }
  return bound
}

/** A whole number from an option. */
export function numberOption(
  name: string,
  value: string | undefined,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number | undefined {
  if (value === undefined) return undefined
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  const range = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `${min} to ${max}`
  throw usageError(`${name}: "${value}" is no whole number (${range})`)
}
