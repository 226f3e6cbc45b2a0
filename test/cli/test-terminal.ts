// A terminal in memory for commands that run in the test's own process.

import { PassThrough, type Readable } from 'node:stream'
import { type Clock, systemClock } from '../../agent/base/clock.ts'
import type { ExitCode, Output, Terminal } from '../../agent/cli/command.ts'
import { runCommandLine } from '../../agent/cli/entry.ts'

class Collected implements Output {
  readonly #chunks: Buffer[] = []
  isTTY = false

  write(chunk: string | Uint8Array): boolean {
    this.#chunks.push(Buffer.from(chunk))
    return true
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString()
  }
}

export class TestTerminal implements Terminal {
  readonly stdout = new Collected()
  readonly stderr = new Collected()
  readonly stdin: Readable
  readonly environment: NodeJS.ProcessEnv
  readonly directory: string
  readonly clock: Clock
  readonly #listeners = new Set<() => void>()

  constructor(options: {
    directory?: string
    environment?: NodeJS.ProcessEnv
    input?: string | Buffer
    clock?: Clock
  }) {
    this.directory = options.directory ?? '/'
    this.environment = options.environment ?? {}
    this.clock = options.clock ?? systemClock
    this.stdin = new PassThrough().end(options.input ?? '')
  }

  onInterrupt = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  interrupt(): void {
    for (const listener of this.#listeners) listener()
  }

  get listening(): number {
    return this.#listeners.size
  }
}

export interface Ran {
  readonly code: ExitCode
  readonly out: string
  readonly err: string
}

/** Runs one command line as the process would. */
export async function tributary(
  args: readonly string[],
  options: ConstructorParameters<typeof TestTerminal>[0] = {},
): Promise<Ran> {
  const terminal = new TestTerminal(options)
  const code = await runCommandLine(args, terminal)
  return { code, out: terminal.stdout.text, err: terminal.stderr.text }
}
