// tributary produce T: lines of stdin as records; acked by all in-sync replicas, idempotent.

import { AgentError } from '../base/errors.ts'
import { Producer, type ProducerRecord } from '../kafka/client/producer.ts'
import { numberOption, parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, printLine } from './command.ts'
import { KAFKA_HELP, KAFKA_OPTIONS, openSession } from './kafka-session.ts'
import { readLines } from './line-reader.ts'
import { formatCount } from './table.ts'

export const command: Command = {
  help: `tributary produce TOPIC [-k KEY | --key-separator S] [-H NAME:VALUE]… [-p N]

One record a line of stdin. Ends when stdin ends and every record is acked by all in-sync replicas.

  -k, --key KEY                      of every record
  --key-separator S                  each line is KEY S VALUE
  -H, --header NAME:VALUE            on every record, as often as needed
  -p, --partition N                  (default: by key as every Kafka client does, else in turn)
${KAFKA_HELP}`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: {
        ...KAFKA_OPTIONS,
        key: { type: 'string', short: 'k' },
        'key-separator': { type: 'string' },
        header: { type: 'string', short: 'H', multiple: true },
        partition: { type: 'string', short: 'p' },
      },
      positionals: ['TOPIC'],
    })
    const topic = positionals[0]!
    const separator = values['key-separator']
    const toRecord = recordMaker({
      key: values.key,
      separator,
      headers: values.header ?? [],
      partition: numberOption('--partition', values.partition, 0, 1_000_000),
    })
    const session = await openSession(values, terminal)
    try {
      const { cluster, codecs } = session
      const producer = await Producer.open({ cluster, codecs, clock: terminal.clock })
      let count = 0
      for await (const lines of readLines(terminal.stdin)) {
        const bad =
          separator === undefined ? -1 : lines.findIndex((line) => !line.includes(separator))
        const good = bad < 0 ? lines : lines.slice(0, bad)
        await producer.send(topic, good.map(toRecord))
        count += good.length
        if (bad >= 0) {
          const what = `line ${count + 1} has no ${JSON.stringify(separator)}, so no key`
          throw new AgentError('INPUT_USAGE', `${what}; what stands before it was sent`)
        }
      }
      const records = `${formatCount(count)} record${count === 1 ? '' : 's'}`
      await printLine(terminal.stdout, `produced ${records} to ${topic}`)
    } finally {
      session.close()
    }
    return EXIT.good
  },
}

interface RecordRules {
  readonly key: string | undefined
  readonly separator: string | undefined
  readonly headers: readonly string[]
  readonly partition: number | undefined
}

/** Makes a record of a line that has the separator. */
function recordMaker(rules: RecordRules): (line: Buffer) => ProducerRecord {
  const { separator, partition } = rules
  if (separator !== undefined && rules.key !== undefined) {
    throw usageError('-k and --key-separator both give the key; choose one')
  }
  if (separator === '') throw usageError('--key-separator needs at least one character')
  const fixedKey = rules.key === undefined ? null : Buffer.from(rules.key)
  const headers = rules.headers.map(parseHeader)
  return (line) => {
    if (separator === undefined) return { key: fixedKey, value: line, headers, partition }
    const at = line.indexOf(separator)
    const value = line.subarray(at + Buffer.byteLength(separator))
    return { key: line.subarray(0, at), value, headers, partition }
  }
}

function parseHeader(text: string): [string, Buffer] {
  const at = text.indexOf(':')
  if (at < 1) throw usageError(`-H "${text}" is no NAME:VALUE`)
  return [text.slice(0, at), Buffer.from(text.slice(at + 1))]
}
