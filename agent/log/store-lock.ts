// One process a store. The file `lock` names the one that has it:
//
//   "<pid> <start>\n"     start = boot id and start time in clock ticks, from /proc; "-" elsewhere
//
// - Taken by exclusive create, so of two that find none one wins.
// - A lock whose process is gone, or whose pid is another process by now, is replaced. To do so a
//   process first takes a lock named after the old holder, in the same way: only one at a time can
//   remove an old lock, and none removes the new lock of another.
// - A lock of this very process counts only while this process remembers taking it.
// - It needs no sync: after a power cut its holder is gone anyway.

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AgentError, codeOf } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'

export interface LockHandle {
  release(): Promise<void>
}

export interface LockOptions {
  pid?: number
  /** What tells this process from another with its pid; undefined when none has it. */
  startOf?: (pid: number) => Promise<string | undefined>
  /** What the store is on, when `fs` only stands in front of it: this process's own locks go by it. */
  device?: object
}

interface Holder {
  pid: number
  start: string
}

const LOCK_NAME = 'lock'
const ATTEMPTS_MAX = 10
/** Each level is a crash while removing the lock of a crash; what their names allow. */
const DEPTH_MAX = 24
const heldHere = new WeakMap<object, Set<string>>()

/** Fault: STORE_IN_USE. */
export async function lockStore(
  fs: FileSystem,
  directory: string,
  options: LockOptions = {},
): Promise<LockHandle> {
  const { pid = process.pid, startOf = processStart, device = fs } = options
  const self: Holder = { pid, start: (await startOf(pid)) ?? '-' }
  const path = `${directory}/${LOCK_NAME}`
  const held = heldHere.get(device) ?? new Set<string>()
  heldHere.set(device, held)
  const key = `${pid} ${resolve(path)}`
  if (held.has(key)) throw inUse(self)
  held.add(key)
  const isRunning = async (holder: Holder) =>
    textOf(holder) !== textOf(self) && (await startOf(holder.pid)) === holder.start
  try {
    await take(fs, path, self, isRunning, 0)
  } catch (error) {
    held.delete(key)
    throw error
  }
  return {
    async release() {
      if (!held.delete(key)) return
      if ((await readText(fs, path)) === textOf(self)) await fs.remove(path)
    },
  }
}

async function take(
  fs: FileSystem,
  path: string,
  self: Holder,
  isRunning: (holder: Holder) => Promise<boolean>,
  depth: number,
): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX && depth < DEPTH_MAX; attempt++) {
    if (await create(fs, path, textOf(self))) return
    const text = await readText(fs, path)
    if (text === undefined) continue
    const holder = holderOf(text)
    if (holder !== undefined && (await isRunning(holder))) throw inUse(holder)
    // A guard lives for a moment: one without a holder was left by a power cut.
    if (holder === undefined && depth > 0) {
      await fs.remove(path)
      continue
    }
    const guard = `${path}.${holder === undefined ? 'unreadable' : holder.pid}`
    await take(fs, guard, self, isRunning, depth + 1)
    if ((await readText(fs, path)) === text) await fs.remove(path)
    await fs.remove(guard)
  }
  throw new AgentError('STORE_IN_USE', `${path} changes hands all the time: try again`)
}

/** False when there is one already, or when it did not stay ours. */
async function create(fs: FileSystem, path: string, text: string): Promise<boolean> {
  try {
    const file = await fs.open(path, 'exclusive')
    try {
      await file.write([Buffer.from(text)], 0)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  return (await readText(fs, path)) === text
}

async function readText(fs: FileSystem, path: string): Promise<string | undefined> {
  try {
    const file = await fs.open(path, 'read')
    try {
      const bytes = Buffer.alloc(Math.min(await file.size(), 256))
      return bytes.toString('latin1', 0, await file.read(bytes, 0))
    } finally {
      await file.close()
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function textOf({ pid, start }: Holder): string {
  return `${pid} ${start}\n`
}

function holderOf(text: string): Holder | undefined {
  const match = /^(\d{1,10}) (\S+)\n$/.exec(text)
  return match === null ? undefined : { pid: Number(match[1]), start: match[2]! }
}

function inUse({ pid }: Holder): AgentError {
  return new AgentError('STORE_IN_USE', `store in use by pid ${pid}`, { details: { pid } })
}

/** Undefined when no process has this pid. Pids come round again, also across boots. */
export async function processStart(pid: number): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1')
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    // The name, field 2, is in brackets and may hold anything; the start time is field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : `${boot.trim()}/${fields[19]}`
  } catch (error) {
    const hasProc = await readFile('/proc/self/stat').then(
      () => true,
      () => false,
    )
    if (hasProc && (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH')) return undefined
  }
  return isAlive(pid) ? '-' : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}
