// Time as the log believes it: for arrivals, commits, checkpoints and retention.
//
// A gateway without a battery-backed clock starts in 1970, a flat battery says 2099, and both are
// stepped right minutes later. So the wall clock is judged by what the store knows, its last good
// time (the newest of checkpoint, journal frames and what was believed since):
//
//   believed    not before the release of this software, not more than a minute before the last good
//               time, not more than a year behind it
//   otherwise   the last good time goes on with the monotonic clock, and `isSynchronized` is false
//
// It heals by itself: the moment the wall clock is plausible again, when the system says that its
// clock is synchronized, or when it has run in step with the monotonic clock for a day (then the
// store was wrong: somebody had set the clock ahead, or the gateway lay in a drawer for years).

import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'

/** No version is older, so no right clock says less. */
export const RELEASE_TIME = Date.UTC(2026, 0, 1)
const BEHIND_MS_MAX = 60_000
const AHEAD_MS_MAX = 366 * 86_400_000
const CONFIRMED_MS = 86_400_000
/** The system is not asked more often. */
const ASK_EVERY_MS = 1_000

export interface LogTimeOptions {
  clock: Clock
  logger: Logger
  /** What the system says of its clock; undefined: nothing. */
  systemSynchronized: () => boolean | undefined
}

/** A clock whose `now` can be believed; all the log's parts have it. */
export class LogTime implements Clock {
  readonly #options: LogTimeOptions
  /** False: `now` may be wrong by as long as the gateway was off. */
  isSynchronized = true
  /** Greatest time that was believed; undefined in a new store. */
  #lastGood: number | undefined
  /** Where `now` goes on from while the wall clock is not believed. */
  #anchor: { time: number; monotonic: number }
  /** What ages are counted by, when it was looked at last. */
  #steady: { time: number; monotonic: number } | undefined
  /** The wall clock that is not believed, as its distance from the monotonic one. */
  #contradiction: { distance: number; since: number } | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #isOpen = false

  constructor(options: LogTimeOptions) {
    this.#options = options
    this.#anchor = { time: RELEASE_TIME, monotonic: options.clock.monotonic() }
  }

  /** The store has something of that time. */
  restored(time: number): void {
    if (time < RELEASE_TIME || time <= (this.#lastGood ?? 0)) return
    this.#lastGood = time
    this.#anchor = { time, monotonic: this.#options.clock.monotonic() }
  }

  /** The store has told all it knows: the wall clock can be judged. */
  opened(): void {
    this.#isOpen = true
    this.now()
  }

  monotonic(): number {
    return this.#options.clock.monotonic()
  }

  after(ms: number, run: () => void): Timer {
    return this.#options.clock.after(ms, run)
  }

  soon(run: () => void): void {
    this.#options.clock.soon(run)
  }

  /** Whole milliseconds since the epoch. */
  now(): number {
    const { clock } = this.#options
    const [wall, monotonic] = [clock.now(), clock.monotonic()]
    const isPlausible = this.#isPlausible(wall)
    // What recovery has still to read may show that the wall clock is wrong.
    if (!this.#isOpen) return isPlausible ? wall : this.#anchored(monotonic)
    if (!isPlausible && !this.#isConfirmed(wall, monotonic)) {
      if (this.isSynchronized) this.#doubt(wall)
      return this.#anchored(monotonic)
    }
    if (!this.isSynchronized) this.#heal()
    this.#lastGood = Math.max(this.#lastGood ?? 0, wall)
    this.#anchor.time = wall
    this.#anchor.monotonic = monotonic
    return wall
  }

  /**
   * What ages are counted by: like `now`, but when the wall clock jumps ahead, no age grows more than
   * twice as fast as time passes. So a clock that is set wrong for an hour makes nothing old.
   */
  steadyNow(): number {
    const time = this.now()
    const monotonic = this.#options.clock.monotonic()
    const last = this.#steady
    const most = last === undefined ? time : last.time + 2 * (monotonic - last.monotonic)
    this.#steady = { time: Math.min(time, most), monotonic }
    return this.#steady.time
  }

  #isPlausible(wall: number): boolean {
    if (wall < RELEASE_TIME) return false
    if (this.#lastGood === undefined) return true
    return wall >= this.#lastGood - BEHIND_MS_MAX && wall <= this.#lastGood + AHEAD_MS_MAX
  }

  /** The wall clock contradicts the store, and there are better reasons to believe the wall clock. */
  #isConfirmed(wall: number, monotonic: number): boolean {
    if (wall < RELEASE_TIME) return false
    const distance = wall - monotonic
    const known = this.#contradiction
    if (known === undefined || Math.abs(distance - known.distance) > BEHIND_MS_MAX) {
      this.#contradiction = { distance, since: monotonic }
      this.#askedAt = Number.NEGATIVE_INFINITY
    }
    const isDayOld = monotonic - this.#contradiction!.since >= CONFIRMED_MS
    if (!isDayOld && !this.#saysSystem(monotonic)) return false
    this.#lastGood = wall
    return true
  }

  #saysSystem(monotonic: number): boolean {
    if (monotonic - this.#askedAt < ASK_EVERY_MS) return false
    this.#askedAt = monotonic
    return this.#options.systemSynchronized() === true
  }

  #anchored(monotonic: number): number {
    return Math.floor(this.#anchor.time + monotonic - this.#anchor.monotonic)
  }

  #doubt(wall: number): void {
    this.isSynchronized = false
    const knows = this.#lastGood === undefined ? 'this version is from' : 'the store goes to'
    this.#options.logger.warn(
      `clock unsynced: it says ${timeText(wall)}, ${knows} ${timeText(this.#anchor.time)}; until it ` +
        'is right, records count from there, with header clock: unsynced, and none is deleted for ' +
        'its age. Set the clock (timedatectl; is NTP reachable?)',
    )
  }

  #heal(): void {
    this.isSynchronized = true
    this.#contradiction = undefined
    this.#steady = undefined
    this.#options.logger.info('clock ok: the wall clock is believed again')
  }
}

function timeText(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms)
}
