// The configuration as commands want it: right, or a fault that lists every problem.

import { AgentError } from '../base/errors.ts'
import { type LoadOutcome, loadConfig } from '../config/loading.ts'
import { printLine, type Terminal } from './command.ts'

type Loaded = Extract<LoadOutcome, { kind: 'valid' }>

/** Throws INPUT_CONFIG; warnings go to stderr. `required`: the defaults alone are not enough. */
export async function loadedConfig(
  terminal: Terminal,
  options: { file: string | undefined; required: boolean },
): Promise<Loaded> {
  const { environment, directory } = terminal
  const outcome = await loadConfig({ ...options, environment, directory })
  if (outcome.kind === 'invalid') {
    throw new AgentError('INPUT_CONFIG', outcome.problems.join('\n'))
  }
  for (const warning of outcome.warnings) await printLine(terminal.stderr, `warning: ${warning}`)
  return outcome
}
