// The commands, each in a file of its name, loaded only when it is called.

import type { Command } from './command.ts'

export interface Registration {
  readonly summary: string
  /** Undefined: the command is not in this version. */
  readonly load: (() => Promise<{ readonly command: Command }>) | undefined
}

export const COMMANDS: Readonly<Record<string, Registration>> = {
  demo: {
    summary: 'a 45-second story with faults, and the proof',
    load: () => import('./demo.ts'),
  },
  init: {
    summary: 'write a commented tributary.yaml',
    load: () => import('./init.ts'),
  },
  run: {
    summary: 'the agent',
    load: () => import('./run.ts'),
  },
  status: {
    summary: 'how the running agent is',
    load: () => import('./status.ts'),
  },
  config: {
    summary: 'check or show the configuration',
    load: () => import('./config.ts'),
  },
  routes: {
    summary: 'try out where an MQTT topic goes',
    load: () => import('./routes.ts'),
  },
  topics: {
    summary: 'list, describe, create, delete topics of any Kafka',
    load: () => import('./topics.ts'),
  },
  produce: {
    summary: 'lines of stdin to a topic of any Kafka',
    load: () => import('./produce.ts'),
  },
  consume: {
    summary: 'records of a topic of any Kafka to stdout',
    load: () => import('./consume.ts'),
  },
  verify: {
    summary: 'check every byte of a store, and every record against the mirror',
    load: () => import('./verify.ts'),
  },
  dump: {
    summary: 'a segment or journal, readably',
    load: () => import('./dump.ts'),
  },
  sim: {
    summary: 'a simulated fleet of devices',
    load: () => import('./sim.ts'),
  },
  groups: { summary: 'consumer groups and their lag', load: undefined },
  replication: { summary: 'ways out of a frozen partition', load: undefined },
  'cloud-bridge': { summary: 'the bridge for gateways that only speak HTTPS', load: undefined },
}
