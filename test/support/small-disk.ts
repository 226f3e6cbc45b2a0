// A small file system of its own (tmpfs) that only the processes started through it can see.
//
//   const disk = await SmallDisk.mount(folder, { size: '64m' })      undefined: not allowed here
//   AgentProcess.create({ dataDir: folder }, { launcher: disk.launcher })
//   disk.path('data')                                                the same folder, from outside

import { join } from 'node:path'
import { MountNamespace } from './mount-namespace.ts'

export class SmallDisk {
  readonly #folder: string
  readonly #mounts: MountNamespace

  private constructor(folder: string, mounts: MountNamespace) {
    this.#folder = folder
    this.#mounts = mounts
  }

  static async mount(folder: string, { size }: { size: string }): Promise<SmallDisk | undefined> {
    const script = 'mount -t tmpfs -o "size=$1" tmpfs "$2"'
    const mounts = await MountNamespace.open(script, [size, folder])
    return mounts && new SmallDisk(folder, mounts)
  }

  /** Runs the rest of its arguments where the disk is mounted. */
  get launcher(): readonly string[] {
    return this.#mounts.launcher
  }

  /** A path on the disk as this process reaches it. */
  path(...names: string[]): string {
    return join(this.#mounts.root, this.#folder, ...names)
  }

  /** Runs a program where the disk is; throws when it fails. */
  run(...words: string[]): Promise<void> {
    return this.#mounts.run(...words)
  }

  unmount(): void {
    this.#mounts.close()
  }
}
