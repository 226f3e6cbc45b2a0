// Kafka's names for the settings of a topic. What a gateway cannot vary is listed with its one value,
// so that a client sees it, and may set it to that value; everything else is refused by name.
//
// Long.MAX_VALUE stands for "no limit" in Kafka; it is text here, being no safe integer.

import type { AskedSetting, TopicSettings } from '../../log/topic.ts'

/** Kinds of values, as DescribeConfigs numbers them. */
export const CONFIG_TYPE = { boolean: 1, string: 2, int: 3, long: 5, list: 7 } as const
/** Where a value comes from: set for the topic, or the default. */
export const CONFIG_SOURCE = { topic: 1, staticBroker: 4, default: 5 } as const

export interface TopicConfig {
  name: string
  type: number
  /** The setting that it is, when it is one. */
  key?: AskedSetting
  /** What the settings say; undefined: nobody set it. */
  read: (settings: TopicSettings) => string | undefined
  /** Changes the settings; a sentence when the value cannot be. */
  write: (value: string, settings: TopicSettings) => string | undefined
  defaultValue: string
}

const LONG_MAX = '9223372036854775807'
const UNLIMITED = '-1'

export const TOPIC_CONFIGS: readonly TopicConfig[] = [
  {
    name: 'cleanup.policy',
    type: CONFIG_TYPE.list,
    ...fixed('delete', 'compaction is not supported'),
  },
  {
    name: 'compression.type',
    key: 'compression',
    type: CONFIG_TYPE.string,
    defaultValue: 'producer',
    read: ({ compression }) => (compression === 'none' ? 'uncompressed' : compression),
    write(value, settings) {
      if (value === 'producer') delete settings.compression
      else if (value === 'uncompressed') settings.compression = 'none'
      else if (value === 'zstd' || value === 'lz4') settings.compression = value
      else return 'use producer, zstd, lz4 or uncompressed'
      return undefined
    },
  },
  limit('retention.ms', 'retentionMs'),
  limit('retention.bytes', 'retentionBytes'),
  {
    name: 'message.timestamp.type',
    type: CONFIG_TYPE.string,
    ...fixed('CreateTime', 'records keep the time they were made'),
  },
  {
    name: 'message.timestamp.before.max.ms',
    type: CONFIG_TYPE.long,
    ...fixed(LONG_MAX, 'every timestamp is taken'),
  },
  {
    name: 'message.timestamp.after.max.ms',
    type: CONFIG_TYPE.long,
    ...fixed(LONG_MAX, 'every timestamp is taken'),
  },
  {
    name: 'min.insync.replicas',
    type: CONFIG_TYPE.int,
    defaultValue: '1',
    read: () => undefined,
    // Kafka takes more than there are replicas, too: the effective minimum is what there are.
    write: (value) => (isWhole(value) && Number(value) >= 1 ? undefined : 'use 1 or more'),
  },
  {
    name: 'unclean.leader.election.enable',
    type: CONFIG_TYPE.boolean,
    ...fixed('false', 'there is one broker'),
  },
]

/** `max.message.bytes` follows the broker's option. */
export function maxMessageBytes(bytes: number): TopicConfig {
  return {
    name: 'max.message.bytes',
    type: CONFIG_TYPE.int,
    defaultValue: String(bytes),
    read: () => undefined,
    write: (value) =>
      isWhole(value) && Number(value) >= 0 && Number(value) <= bytes
        ? undefined
        : `at most ${bytes} bytes are taken here`,
  }
}

/** Puts one setting by its Kafka name; a sentence when that is not possible. Null is the default. */
export function applyTopicConfig(
  configs: readonly TopicConfig[],
  name: string,
  value: string | null,
  settings: TopicSettings,
): string | undefined {
  const config = configs.find((candidate) => candidate.name === name)
  if (config === undefined) return `${name} is not a setting of topics here`
  const problem = config.write(value ?? config.defaultValue, settings)
  if (problem !== undefined) return `${name}=${value}: ${problem}`
  if (config.key === undefined) return undefined
  const others = (settings.asked ?? []).filter((key) => key !== config.key)
  settings.asked = value === null ? others : [...others, config.key]
  return undefined
}

function fixed(value: string, reason: string): Omit<TopicConfig, 'name' | 'type'> {
  return {
    defaultValue: value,
    read: () => undefined,
    write: (wanted) => (wanted === value ? undefined : `it is always ${value}: ${reason}`),
  }
}

function limit(name: string, key: 'retentionMs' | 'retentionBytes'): TopicConfig {
  return {
    name,
    key,
    type: CONFIG_TYPE.long,
    defaultValue: UNLIMITED,
    read: (settings) => settings[key]?.toString(),
    write(value, settings) {
      if (value === UNLIMITED || value === LONG_MAX) delete settings[key]
      else if (isWhole(value) && Number(value) >= 0) settings[key] = Number(value)
      else return 'use a whole number, or -1 for no limit'
      return undefined
    },
  }
}

function isWhole(value: string): boolean {
  return /^-?\d{1,16}$/.test(value) && Number.isSafeInteger(Number(value))
}
