// When the power goes next, or only the process dies: after so many steps of the disk, counted from
// now or from an operation that is waited for.

export class CrashPlan {
  /** Steps until then. */
  #left = Number.POSITIVE_INFINITY
  /** Operation and path of what is waited for, or a part of them; empty: nothing is. */
  #target = ''
  #leftBehind = 0
  /** The process only, not the power. */
  isKill = false

  soon(steps: number, isKill: boolean): void {
    this.#left = steps
    this.isKill = isKill
  }

  /** Counts from the next operation that is `target`. */
  behind(target: string, steps: number, isKill: boolean): void {
    this.#target = target
    this.#leftBehind = steps
    this.isKill = isKill
  }

  never(): void {
    this.#left = Number.POSITIVE_INFINITY
    this.#target = ''
  }

  /** A step of the disk: true when it happens now. */
  isNow(operation: string, path: string): boolean {
    if (this.#target !== '' && `${operation} ${path}`.includes(this.#target)) {
      this.#target = ''
      this.#left = this.#leftBehind
    }
    if (--this.#left > 0) return false
    this.#left = Number.POSITIVE_INFINITY
    return true
  }
}
