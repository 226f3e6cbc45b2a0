// tributary init [DIR]: a commented tributary.yaml, never over an existing one.

import { mkdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { AgentError, codeOf } from '../base/errors.ts'
import { templateConfig } from '../config/rendering.ts'
import { parseArguments } from './arguments.ts'
import { type Command, EXIT, printLine } from './command.ts'

const FILE_NAME = 'tributary.yaml'

export const command: Command = {
  help: `tributary init [DIR] [--gateway NAME]

Writes a commented ${FILE_NAME} into DIR (default: here). Never overwrites one.

  --gateway NAME   the name of this gateway (default: the host's name)`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: { gateway: { type: 'string' } },
      positionals: ['[DIR]'],
    })
    const folder = positionals[0] ?? '.'
    const path = join(folder, FILE_NAME)
    const gateway = values.gateway ?? gatewayName(hostname())
    try {
      await mkdir(resolve(terminal.directory, folder), { recursive: true })
      await writeFile(resolve(terminal.directory, path), templateConfig(gateway), { flag: 'wx' })
    } catch (error) {
      if (codeOf(error) === 'EEXIST') {
        throw new AgentError('INPUT_USAGE', `${path} is there already; it is never overwritten`)
      }
      throw error
    }
    const next = folder === '.' ? 'tributary run' : `tributary run -c ${path}`
    await printLine(
      terminal.stdout,
      `wrote ${path}: gateway is "${gateway}", which names its topics for ever. Next: ${next}`,
    )
    return EXIT.good
  },
}

/** The host's name with only the characters a topic may have. */
function gatewayName(host: string): string {
  const name = host.replace(/\..*$/, '').replace(/[^A-Za-z0-9_-]/g, '-')
  return name.replace(/^-+|-+$/g, '').slice(0, 100) || 'gateway'
}
