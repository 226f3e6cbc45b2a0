// What a command is: its help, and a function from arguments and a terminal to an exit code.

import type { Readable } from 'node:stream'
import type { Clock } from '../base/clock.ts'

export const EXIT = {
  good: 0,
  /** The thing asked about is not good. */
  notGood: 1,
  usage: 2,
  /** What is needed could not be reached. */
  unreachable: 3,
  bug: 70,
  config: 78,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A stream that text goes to. */
export interface Output {
  readonly isTTY?: boolean
  write(chunk: string | Uint8Array, done?: () => void): boolean
}

/** All that a command may touch of its process. */
export interface Terminal {
  readonly environment: NodeJS.ProcessEnv
  /** Where the command was started. */
  readonly directory: string
  readonly stdin: Readable
  readonly stdout: Output
  readonly stderr: Output
  readonly clock: Clock
  /** Calls the listener at SIGINT and SIGTERM instead of ending; returns how to stop that. */
  readonly onInterrupt: (listener: () => void) => () => void
}

export interface Command {
  /** The whole text of `--help`. */
  readonly help: string
  /** Throws AgentError for what the user or the world did wrong. */
  run(args: readonly string[], terminal: Terminal): Promise<ExitCode>
}

/** Resolves when the reader has room again. */
export function print(output: Output, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (output.write(chunk, resolve)) resolve()
  })
}

export function printLine(output: Output, line: string): Promise<void> {
  return print(output, `${line}\n`)
}
