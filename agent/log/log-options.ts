// What a log is opened with: the parts it uses and its limits. Simulations shrink the limits so that
// what is rare in the field happens every few steps.

import { randomBytes } from 'node:crypto'
import type { Kernel } from '../../wasm/kernel.ts'
import type { Clock } from '../base/clock.ts'
import type { AgentError } from '../base/errors.ts'
import type { Logger, Metrics } from '../base/telemetry.ts'
import type { DiskLimits } from './disk-budget.ts'
import { type FileSystem, nodeFileSystem } from './file-system.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from './journal.ts'
import { MeteredFileSystem } from './metered-file-system.ts'
import type { LockOptions } from './store-lock.ts'

export interface LogOptions {
  directory: string
  clock: Clock
  logger: Logger
  metrics: Metrics
  fs?: FileSystem
  /** Its arena must be free; by default a kernel of its own. */
  kernel?: Kernel
  /** Fixed at the first start; undefined takes what the store says. */
  gateway?: string | undefined
  arenaBytes?: number
  journalBytes?: number
  /** A commit above this takes several frames. */
  frameBytesMax?: number
  batchBytes?: number
  segmentBytes?: number
  commitIntervalMs?: number | 'auto'
  carryTailBytes?: number
  healWindowMs?: number
  disk?: DiskLimits
  openFilesMax?: number
  randomSalt?: () => number
  lock?: LockOptions
  /** Nothing is acked any more: only a restart helps. */
  failed?: (failure: AgentError) => void
  /** What the system says of its clock; undefined: nothing. */
  systemSynchronized?: () => boolean | undefined
  /**
   * False, as when a store is only looked at or repaired: nothing is deleted for its age, and nothing
   * that the disk refuses is tried again.
   */
  retains?: boolean
}

const LOG_DEFAULTS = {
  arenaBytes: 8 * 1024 * 1024,
  journalBytes: 16 * 1024 * 1024,
  frameBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  batchBytes: 256 * 1024,
  segmentBytes: 16 * 1024 * 1024,
  commitIntervalMs: 'auto',
  carryTailBytes: 16 * 1024,
  healWindowMs: 24 * 3600 * 1000,
  openFilesMax: 128,
  lock: {},
  failed: () => {},
  systemSynchronized: () => undefined,
  retains: true,
  disk: { budgetBytes: undefined, budgetShare: undefined, keepFreeBytes: 0 },
} as const

export type CompleteLogOptions = Required<Omit<LogOptions, 'kernel' | 'gateway' | 'fs'>> & {
  fs: MeteredFileSystem
}

export function completeOptions(options: LogOptions): CompleteLogOptions {
  const fs = new MeteredFileSystem(options.fs ?? nodeFileSystem)
  return { ...LOG_DEFAULTS, randomSalt, ...definedOf(options), fs }
}

function randomSalt(): number {
  return randomBytes(4).readUInt32BE()
}

/** Without the keys whose value is undefined, which would hide a default. */
function definedOf<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
