// What one topic gets: its own settings over the defaults.

import type { Config } from './schema.ts'

export interface TopicSettings {
  readonly partitions: number
  readonly compression: 'lz4' | 'none'
  readonly retentionMs: number
  /** Bytes per partition; undefined: only the disk budget limits. */
  readonly retentionBytes: number | undefined
}

/** The settings of a topic, named with or without the prefix. */
export function topicSettings(config: Config, topic: string): TopicSettings {
  const { topicDefaults, topics, topicPrefix } = config
  const short = topic.startsWith(topicPrefix) ? topic.slice(topicPrefix.length) : topic
  const name = [topic, short].find((candidate) => Object.hasOwn(topics, candidate))
  const own = name === undefined ? undefined : topics[name]
  return {
    partitions: own?.partitions ?? topicDefaults.partitions,
    compression: (own?.compression ?? topicDefaults.compression) === 'none' ? 'none' : 'lz4',
    retentionMs: own?.retentionTime ?? topicDefaults.retentionTime,
    retentionBytes: own?.retentionBytes ?? topicDefaults.retentionBytes,
  }
}
