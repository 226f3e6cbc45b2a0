// What the system says of its clock.

import { existsSync } from 'node:fs'

/** systemd-timesyncd leaves a file behind; undefined where nothing of it runs. */
export function systemSynchronized(): boolean | undefined {
  if (existsSync('/run/systemd/timesync/synchronized')) return true
  return existsSync('/run/systemd/timesync') ? false : undefined
}
