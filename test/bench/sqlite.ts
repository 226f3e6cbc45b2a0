// SQLite as a log, in a process of its own: see sqlite-log.py.

import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { LoopDisk } from '../support/loop-disk.ts'
import { requirePeer } from '../support/peers.ts'

export interface SqliteRun {
  messages: number
  /** Records a transaction. */
  group: number
  /** Messages a second; unset: as fast as it goes. */
  rate?: number
}

/** Of one run of an engine. */
export interface AppendReport {
  seconds: number
  cpuSeconds: number
  commits: number
}

/** Undefined after one line when Python is not installed. */
export async function appendToSqlite(
  disk: LoopDisk,
  folder: string,
  { messages, group, rate }: SqliteRun,
): Promise<AppendReport | undefined> {
  const python = requirePeer('python3')
  if (python === undefined) return undefined
  mkdirSync(disk.path(folder), { recursive: true })
  const script = join(import.meta.dirname, 'sqlite-log.py')
  const args = [script, disk.inside(folder), String(messages), String(group)]
  if (rate !== undefined) args.push(String(rate))
  const [program, ...words] = [...disk.launcher, python, ...args]
  const { stdout } = await promisify(execFile)(program!, words)
  return JSON.parse(stdout) as AppendReport
}
