// What a verification found, and what it counted.

import type { LostRange } from './loss.ts'

/** What is damaged; says also how a repair goes about it. */
export type FindingKind =
  | 'checkpoint'
  | 'journal'
  | 'segment'
  /** The leader epoch of a batch, which no checksum covers and nothing uses. */
  | 'epoch'
  | 'index'
  | 'metadata'
  | 'cursor'
  /** A file that was being written when the agent was stopped. */
  | 'unfinished'
  | 'stray'

export interface Finding {
  kind: FindingKind
  path: string
  /** Byte in the file; 0 for the file as a whole. */
  position: number
  what: string
  /** Something acked can no longer be read as it was written. */
  fatal: boolean
  /** The next start or `--repair` puts the store right; what is lost stays lost, and is hollow then. */
  repairable: boolean
}

/** Offsets known to be lost, which hollow records stand for; `to` is the last one. */
export interface KnownLoss extends LostRange {
  topic: string
  partition: number
}

export interface VerifyTotals {
  partitions: number
  segments: number
  batches: number
  records: number
  /** Of them, stand-ins for lost ones. */
  hollowRecords: number
  segmentBytes: number
  journalFrames: number
  stateEntries: number
  quarantineFiles: number
  quarantineBytes: number
  /** Findings beyond the first thousand, which are not listed. */
  unlistedFindings: number
}

const LISTED_MAX = 1000
const LOSSES_MAX = 1000

export class Findings {
  readonly listed: Finding[] = []
  readonly losses: KnownLoss[] = []
  isFatal = false
  readonly totals: VerifyTotals = {
    partitions: 0,
    segments: 0,
    batches: 0,
    records: 0,
    hollowRecords: 0,
    segmentBytes: 0,
    journalFrames: 0,
    stateEntries: 0,
    quarantineFiles: 0,
    quarantineBytes: 0,
    unlistedFindings: 0,
  }

  /** Something acked cannot be read any more. */
  lost(kind: FindingKind, path: string, position: number, what: string): void {
    this.#add({ kind, path, position, what, fatal: true, repairable: true })
  }

  /** Lost, and a repair would not know what to do. */
  hopeless(kind: FindingKind, path: string, position: number, what: string): void {
    this.#add({ kind, path, position, what, fatal: true, repairable: false })
  }

  /** Wrong, but nothing is lost. */
  wrong(kind: FindingKind, path: string, position: number, what: string): void {
    this.#add({ kind, path, position, what, fatal: false, repairable: true })
  }

  /** Nothing of ours, or nothing that matters: it is left as it is. */
  note(kind: FindingKind, path: string, position: number, what: string): void {
    this.#add({ kind, path, position, what, fatal: false, repairable: false })
  }

  known(loss: KnownLoss): void {
    if (this.losses.length < LOSSES_MAX) this.losses.push(loss)
  }

  #add(finding: Finding): void {
    this.isFatal ||= finding.fatal
    if (this.listed.length < LISTED_MAX) this.listed.push(finding)
    else this.totals.unlistedFindings++
  }
}
