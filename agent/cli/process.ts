// Joins a command line to the process around it: streams, signals, exit code.

import { systemClock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import { EXIT, type Terminal } from './command.ts'
import { runCommandLine } from './entry.ts'

/** Runs the command line and ends the process. */
export async function runProcess(args: readonly string[]): Promise<void> {
  // Whoever reads us may stop when they have seen enough (`| head`).
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) =>
      process.exit(codeOf(error) === 'EPIPE' ? EXIT.good : EXIT.notGood),
    )
  }
  // The clock's timers keep nothing alive; a command that waits for one must not end early.
  const awake = setInterval(() => {}, 0x7fff_ffff)
  const code = await runCommandLine(args, processTerminal())
  clearInterval(awake)
  // What was written is with the reader before the process ends; sockets left open do not matter.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(code)
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}

function processTerminal(): Terminal {
  return {
    environment: process.env,
    directory: process.cwd(),
    // Touching process.stdin opens it, so only who reads it pays.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    onInterrupt,
  }
}

/** The first SIGINT or SIGTERM goes to the listener, a second SIGINT ends the process at once. */
export function onInterrupt(listener: () => void): () => void {
  let isFirst = true
  const interrupt = (signal: NodeJS.Signals) => {
    if (isFirst) listener()
    else if (signal === 'SIGINT') process.exit(EXIT.interrupted)
    isFirst = false
  }
  const ignore = () => {}
  const undo = [
    ['SIGINT', interrupt],
    ['SIGTERM', interrupt],
    ['SIGHUP', ignore],
  ] as const
  for (const [signal, act] of undo) process.on(signal, act)
  return () => {
    for (const [signal, act] of undo) process.off(signal, act)
  }
}
