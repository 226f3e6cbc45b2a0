// What one topic gets: its own settings over the defaults, and whether it goes upstream.

import type { AskedSetting, TopicSettings } from '../log/topic.ts'
import type { Config } from './schema.ts'

/** The settings of a topic by its full name; under `topics` it may stand without the prefix. */
export function topicSettings(config: Config, name: string): TopicSettings {
  const { topicDefaults, topicPrefix, gateway } = config
  const own = ownSettings(config, name)
  const compression = own?.compression ?? topicDefaults.compression
  return {
    partitions: own?.partitions ?? topicDefaults.partitions,
    // Without a gateway there is no name under which a topic could be replicated.
    replicated: name.startsWith(topicPrefix) && gateway !== undefined,
    compression: compression === 'auto' ? 'zstd' : compression,
    retentionMs: own?.retentionTime ?? topicDefaults.retentionTime,
    retentionBytes: own?.retentionBytes ?? topicDefaults.retentionBytes,
    whenFull: own?.whenFull ?? topicDefaults.whenFull,
  }
}

/** Those of a topic that is there: what a Kafka client has set stays, unless its own entry says otherwise. */
export function knownTopicSettings(
  config: Config,
  name: string,
  before: TopicSettings,
): TopicSettings {
  const own = ownSettings(config, name)
  const said: Record<AskedSetting, unknown> = {
    compression: own?.compression,
    retentionMs: own?.retentionTime,
    retentionBytes: own?.retentionBytes,
  }
  const asked = (before.asked ?? []).filter((key) => said[key] === undefined)
  const kept = Object.fromEntries(asked.map((key) => [key, before[key]]))
  return { ...topicSettings(config, name), ...kept, ...(asked.length > 0 && { asked }) }
}

function ownSettings(
  { topics, topicPrefix }: Config,
  name: string,
): Config['topics'][string] | undefined {
  const names = name.startsWith(topicPrefix) ? [name.slice(topicPrefix.length), name] : [name]
  const key = names.find((candidate) => Object.hasOwn(topics, candidate))
  return key === undefined ? undefined : topics[key]
}
