// uvu with the two guards it lacks: a limit per test, and a name per file.
//
// uvu exits 0 when a hook throws, when a test rejects with undefined, or when `.run()` is forgotten;
// `test/run.ts` counts results instead of believing the exit code.

import { suite as uvuSuite } from 'uvu'

export interface Suite {
  (name: string, run: () => Promise<void> | void, options?: { timeoutMs?: number }): void
  /** Registers the file's tests with uvu; call it last. */
  run(): void
  after(run: () => Promise<void> | void): void
}

/** A suite whose tests each fail after `timeoutMs` (default 20 s). */
export function suite(name: string): Suite {
  const inner = uvuSuite(name)
  const add = (
    title: string,
    run: () => Promise<void> | void,
    options: { timeoutMs?: number } = {},
  ) => {
    inner(title, () => withTimeout(title, options.timeoutMs ?? 20_000, run))
  }
  return Object.assign(add, { run: () => inner.run(), after: inner.after })
}

async function withTimeout(
  title: string,
  ms: number,
  run: () => Promise<void> | void,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`"${title}" did not end within ${ms} ms`)), ms)
  })
  try {
    await Promise.race([Promise.resolve().then(run), late])
  } catch (error) {
    throw readable(error ?? new Error(`"${title}" rejected with ${String(error)}`))
  } finally {
    clearTimeout(timer)
  }
}

/** uvu's report breaks on an error whose `details` is no string, and the rest of the suite with it. */
function readable(error: unknown): unknown {
  if (!(error instanceof Error) || !('details' in error)) return error
  return typeof error.details === 'string' ? error : new Error(error.stack, { cause: error.cause })
}
