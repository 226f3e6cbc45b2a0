// tributary config check | show

import { showConfig } from '../config/rendering.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, print, printLine } from './command.ts'
import { loadedConfig } from './loaded-config.ts'

export const command: Command = {
  help: `tributary config check [-c FILE]   says what is wrong, each with file, line and key
tributary config show [-c FILE]    the effective configuration, secrets masked

  -c, --config FILE   default: $TRIBUTARY_CONFIG, ./tributary.yaml, /etc/tributary/tributary.yaml`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: { config: { type: 'string', short: 'c' } },
      positionals: ['check or show'],
    })
    const [action] = positionals
    if (action !== 'check' && action !== 'show') {
      throw usageError(`"${action}" is neither check nor show`)
    }
    const { config, file } = await loadedConfig(terminal, { file: values.config, required: true })
    if (action === 'show') {
      await print(terminal.stdout, showConfig(config))
      return EXIT.good
    }
    const routes = `${config.routes.length} route${config.routes.length === 1 ? '' : 's'}`
    const upstream = config.upstream?.bootstrapServers.join(',') ?? 'none'
    await printLine(
      terminal.stdout,
      `${file ?? 'the environment'} is good: ${routes}, upstream ${upstream}`,
    )
    return EXIT.good
  },
}
