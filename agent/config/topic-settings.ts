// What one topic gets: its own settings over the defaults, and whether it goes upstream.

import type { TopicSettings } from '../log/topic.ts'
import type { Config } from './schema.ts'

/** The settings of a topic by its full name; under `topics` it may stand without the prefix. */
export function topicSettings(config: Config, name: string): TopicSettings {
  const { topicDefaults, topics, topicPrefix, gateway } = config
  const hasPrefix = name.startsWith(topicPrefix)
  const names = hasPrefix ? [name.slice(topicPrefix.length), name] : [name]
  const key = names.find((candidate) => Object.hasOwn(topics, candidate))
  const own = key === undefined ? undefined : topics[key]
  const compression = own?.compression ?? topicDefaults.compression
  return {
    partitions: own?.partitions ?? topicDefaults.partitions,
    // Without a gateway there is no name under which a topic could be replicated.
    replicated: hasPrefix && gateway !== undefined,
    compression: compression === 'auto' ? 'zstd' : compression,
    retentionMs: own?.retentionTime ?? topicDefaults.retentionTime,
    retentionBytes: own?.retentionBytes ?? topicDefaults.retentionBytes,
    whenFull: own?.whenFull ?? topicDefaults.whenFull,
  }
}
