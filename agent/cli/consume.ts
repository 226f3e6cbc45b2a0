// tributary consume T: records of explicit partitions to stdout, as values or as JSON lines.

import { isUtf8 } from 'node:buffer'
import { parseDuration } from '../config/setting.ts'
import { type ConsumedRecord, consume, type StartPosition } from '../kafka/client/consumer.ts'
import { numberOption, parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, type Output, print } from './command.ts'
import { KAFKA_HELP, KAFKA_OPTIONS, openSession } from './kafka-session.ts'

const NEWLINE = Buffer.from('\n')

export const command: Command = {
  help: `tributary consume TOPIC [--from WHERE] [-p N]… [-n COUNT] [-e] [--format value|json]

  --from beginning | end | OFFSET | -N | -1h | ISO-TIME
                                     where to begin in each partition (default: beginning);
                                     -100 = the last 100 records, -1h = the last hour
  -p, --partition N                  as often as needed (default: all)
  -n, --count COUNT                  ends after so many records
  -e, --exit                         ends where the partitions end now
  --format value | json              json: topic, partition, offset, timestamp, key, headers, value
${KAFKA_HELP}`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: {
        ...KAFKA_OPTIONS,
        group: { type: 'string', short: 'g' },
        from: { type: 'string' },
        partition: { type: 'string', short: 'p', multiple: true },
        count: { type: 'string', short: 'n' },
        exit: { type: 'boolean', short: 'e' },
        format: { type: 'string' },
      },
      positionals: ['TOPIC'],
    })
    if (values.group !== undefined) throw usageError('-g GROUP: not in this version')
    const from = parseFrom(values.from ?? 'beginning', terminal.clock.now())
    const partitions = values.partition?.map((text) => numberOption('--partition', text, 0, 1e6)!)
    const count = numberOption('--count', values.count, 1) ?? Number.POSITIVE_INFINITY
    const format = values.format ?? 'value'
    if (format !== 'value' && format !== 'json') {
      throw usageError(`--format ${format} is neither value nor json`)
    }
    const write = format === 'json' ? writeJson : writeValue
    const session = await openSession(values, terminal)
    try {
      const records = consume({
        cluster: session.cluster,
        codecs: session.codecs,
        logger: session.logger,
        clock: terminal.clock,
        topic: positionals[0]!,
        partitions,
        from,
        untilEnd: values.exit === true,
      })
      let seen = 0
      for await (const record of records) {
        await write(terminal.stdout, record)
        if (++seen >= count) break
      }
    } finally {
      session.close()
    }
    return EXIT.good
  },
}

/** Where `--from` says to begin; `now` in milliseconds since the epoch. */
export function parseFrom(text: string, now: number): StartPosition {
  if (text === 'beginning' || text === 'end') return { kind: text }
  if (/^\d{1,16}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  if (/^-\d{1,16}$/.test(text)) return { kind: 'last', count: Number(text.slice(1)) }
  const ago = text.startsWith('-') ? parseDuration(text.slice(1)) : undefined
  if (ago !== undefined) return { kind: 'time', timestamp: now - ago }
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return { kind: 'time', timestamp: time }
  throw usageError(
    `--from "${text}" is none of beginning, end, an offset, -N records, -1h or a time such as 2026-01-31T08:00:00Z`,
  )
}

function writeValue(output: Output, { value }: ConsumedRecord): Promise<void> {
  return print(output, value === null ? NEWLINE : Buffer.concat([value, NEWLINE]))
}

function writeJson(output: Output, record: ConsumedRecord): Promise<void> {
  return print(output, `${recordJson(record)}\n`)
}

/** Bytes that are not UTF-8 stand as base64, and `…Encoding` says so. */
export function recordJson(record: ConsumedRecord): string {
  const { topic, partition, offset, timestamp } = record
  return JSON.stringify({
    topic,
    partition,
    offset,
    timestamp,
    ...textOf('key', record.key),
    headers: record.headers.map(([key, value]) => ({
      key: key.toString(),
      ...textOf('value', value),
    })),
    ...textOf('value', record.value),
  })
}

function textOf(name: string, bytes: Buffer | null): Record<string, string | null> {
  if (bytes === null) return { [name]: null }
  if (isUtf8(bytes)) return { [name]: bytes.toString() }
  return { [name]: bytes.toString('base64'), [`${name}Encoding`]: 'base64' }
}
