// A small file system of its own (tmpfs) that only the processes started through it can see, in a
// private mount namespace that lives as long as one helper process.
//
//   const disk = await SmallDisk.mount(folder, { size: '64m' })      undefined: not allowed here
//   AgentProcess.create({ dataDir: folder }, { launcher: disk.launcher })
//   disk.path('data')                                                the same folder, from outside
//
// Works for root, and for others where the system gives out user namespaces.

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { findProgram } from './peers.ts'

const holders = new Set<ChildProcess>()
process.on('exit', () => {
  for (const holder of holders) holder.kill('SIGKILL')
})

const SCRIPT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec sleep 600'

export class SmallDisk {
  /** Runs the rest of its arguments where the disk is mounted. */
  readonly launcher: readonly string[]
  readonly #folder: string
  readonly #holder: ChildProcess

  private constructor(folder: string, holder: ChildProcess, launcher: readonly string[]) {
    this.#folder = folder
    this.#holder = holder
    this.launcher = launcher
  }

  static async mount(folder: string, { size }: { size: string }): Promise<SmallDisk | undefined> {
    const [unshare, nsenter] = [findProgram('unshare'), findProgram('nsenter')]
    if (unshare === undefined || nsenter === undefined) return undefined
    const isRoot = process.getuid?.() === 0
    const own = isRoot ? ['-m'] : ['-r', '-m']
    const args = [...own, 'sh', '-c', SCRIPT, 'sh', size, folder]
    const holder = spawn(unshare, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    holders.add(holder)
    const isMounted = await new Promise<boolean>((resolve) => {
      holder.on('error', () => resolve(false))
      holder.on('close', () => resolve(false))
      holder.stdout.on('data', () => resolve(true))
    })
    holder.stdout.destroy()
    // Whoever forgets to unmount must not wait for it.
    holder.unref()
    if (!isMounted || holder.pid === undefined) return undefined
    const enter = isRoot ? ['-m'] : ['-U', '-m', '--preserve-credentials']
    return new SmallDisk(folder, holder, [nsenter, '-t', String(holder.pid), ...enter])
  }

  /** A path on the disk as this process reaches it. */
  path(...names: string[]): string {
    return join(`/proc/${this.#holder.pid}/root`, this.#folder, ...names)
  }

  /** Runs a program where the disk is; throws when it fails. */
  async run(...words: string[]): Promise<void> {
    const [program, ...args] = [...this.launcher, ...words]
    const child = spawn(program!, args, { stdio: 'ignore' })
    const code = await new Promise((resolve) => child.on('close', resolve))
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}`)
  }

  unmount(): void {
    holders.delete(this.#holder)
    this.#holder.kill('SIGKILL')
  }
}
