// An ext4 file system on a loop device of its own, whose counter tells what the device was made to
// write: data, the file system's journal and its metadata, in sectors of 512 bytes.
//
//   const disk = await LoopDisk.mount({ sizeMb: 1024 })      undefined: not allowed here (wants root)
//   const before = await disk.writtenBytes()                 after a sync of everything
//   … processes that write below `disk.path()` …
//   (await disk.writtenBytes()) - before
//
// `/proc/PID/io` is no substitute: it counts whole folios of the page cache.

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MountNamespace } from './mount-namespace.ts'

/** $1 folder, $2 size in MiB. */
const SCRIPT = `
mkdir "$1/disk"
truncate -s "$2m" "$1/image"
mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 "$1/image"
mount -o loop "$1/image" "$1/disk"
`

export class LoopDisk {
  readonly #base: string
  readonly #mounts: MountNamespace

  private constructor(base: string, mounts: MountNamespace) {
    this.#base = base
    this.#mounts = mounts
  }

  static async mount({ sizeMb }: { sizeMb: number }): Promise<LoopDisk | undefined> {
    const base = mkdtempSync(join(tmpdir(), 'tributary-loop-'))
    const mounts = await MountNamespace.open(SCRIPT, [base, String(sizeMb)], { needsRoot: true })
    if (mounts !== undefined) return new LoopDisk(base, mounts)
    rmSync(base, { recursive: true })
    return undefined
  }

  /** Runs the rest of its arguments where the disk is mounted, for programs that follow links. */
  get launcher(): readonly string[] {
    return this.#mounts.launcher
  }

  /** A path on the disk as what the launcher runs sees it. */
  inside(...names: string[]): string {
    return join(this.#base, 'disk', ...names)
  }

  /** A path on the disk as this process and its children reach it. */
  path(...names: string[]): string {
    return join(this.#mounts.root, this.#base, 'disk', ...names)
  }

  /** Bytes that the device has written so far, when nothing waits to be written any more. */
  async writtenBytes(): Promise<number> {
    await this.#mounts.run('sync', '-f', join(this.#base, 'disk'))
    const { dev } = statSync(this.path())
    // As Linux packs a device number.
    const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)]
    const stat = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, 'utf8')
    return Number(stat.trim().split(/\s+/)[6]) * 512
  }

  async remove(): Promise<void> {
    await this.#mounts.run('umount', join(this.#base, 'disk'))
    this.#mounts.close()
    rmSync(this.#base, { recursive: true })
  }
}
