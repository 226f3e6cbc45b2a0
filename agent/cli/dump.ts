// tributary dump FILE: batches and records of a segment or journal, readably.

import { resolve } from 'node:path'
import { dumpFile } from '../log/dump.ts'
import { nodeFileSystem } from '../log/file-system.ts'
import { parseArguments } from './arguments.ts'
import { type Command, EXIT, printLine } from './command.ts'

export const command: Command = {
  help: `tributary dump FILE

Shows a file of the store: a segment (.log), its .index or .timeindex, a journal, a checkpoint or a
partition.metadata.
What does not hold is a line of its own. Changes nothing; a running agent may go on.`,

  async run(args, terminal) {
    const { positionals } = parseArguments(args, { options: {}, positionals: ['FILE'] })
    const path = resolve(terminal.directory, positionals[0]!)
    for await (const line of dumpFile(nodeFileSystem, path)) {
      await printLine(terminal.stdout, line)
    }
    return EXIT.good
  },
}
