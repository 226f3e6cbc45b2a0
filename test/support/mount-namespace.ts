// A private mount namespace: what is mounted in it is seen only by the processes started through it.
// It lives as long as one holder process, and goes with this one at the latest.
//
// Works for root, and for others where the system gives out user namespaces.

import { type ChildProcess, spawn } from 'node:child_process'
import { findProgram } from './peers.ts'

const holders = new Set<ChildProcess>()
process.on('exit', () => {
  for (const holder of holders) holder.kill('SIGKILL')
})

export class MountNamespace {
  /** Runs the rest of its arguments inside. */
  readonly launcher: readonly string[]
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess, launcher: readonly string[]) {
    this.#holder = holder
    this.launcher = launcher
  }

  /** Runs a shell script inside that mounts what is wanted; undefined when it is not allowed here. */
  static async open(
    script: string,
    args: readonly string[],
    options: { needsRoot?: boolean } = {},
  ): Promise<MountNamespace | undefined> {
    const [unshare, nsenter] = [findProgram('unshare'), findProgram('nsenter')]
    const isRoot = process.getuid?.() === 0
    if (unshare === undefined || nsenter === undefined) return undefined
    if (options.needsRoot === true && !isRoot) return undefined
    const own = isRoot ? ['-m'] : ['-r', '-m']
    const whole = `${script}\necho mounted && exec sleep 900`
    const holder = spawn(unshare, [...own, 'sh', '-ec', whole, 'sh', ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    holders.add(holder)
    const isMounted = await new Promise<boolean>((resolve) => {
      holder.on('error', () => resolve(false))
      holder.on('close', () => resolve(false))
      holder.stdout.on('data', () => resolve(true))
    })
    holder.stdout.destroy()
    // Whoever forgets to close it must not wait for it.
    holder.unref()
    if (!isMounted || holder.pid === undefined) return undefined
    const enter = isRoot ? ['-m'] : ['-U', '-m', '--preserve-credentials']
    return new MountNamespace(holder, [nsenter, '-t', String(holder.pid), ...enter])
  }

  /** Where this process finds the root of what is seen inside. */
  get root(): string {
    return `/proc/${this.#holder.pid}/root`
  }

  /** Runs a program inside; throws when it fails. */
  async run(...words: string[]): Promise<void> {
    const [program, ...args] = [...this.launcher, ...words]
    const child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
    const code = await new Promise((resolve) => child.on('close', resolve))
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${said}`)
  }

  /** What is mounted goes when the last process inside has ended. */
  close(): void {
    holders.delete(this.#holder)
    this.#holder.kill('SIGKILL')
  }
}
