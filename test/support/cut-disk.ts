// An ext4 file system whose power can be cut: an image on a loop device, in a private namespace.
//
//   const disk = await CutDisk.mount(folder)           undefined: not allowed here (wants root)
//   … a stopped process with its files in `folder` …
//   const cut = await disk.copy()                      what the device has got so far
//   … kill the process …
//   await disk.restore(cut)                            mounts the copy: the journal is replayed
//
// The loop device hands every write on to the image at once, so the image is what reached the device;
// what sat in the page cache of the mounted file system only is not in it. A device that keeps
// writes in a cache of its own is not modelled: every write that reached it counts as done.
//
// The copy is of one moment: it is taken again when the device wrote anything meanwhile.

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MountNamespace } from './mount-namespace.ts'

const IMAGE_MIB = 192
const COPIES_MAX = 50

/** $1 folder, $2 image size in MiB. The images lie in memory: a copy takes milliseconds. */
const SCRIPT = `
mount -t tmpfs -o size=$((3 * $2))m tmpfs "$1"
mkdir "$1/disk"
truncate -s "$2m" "$1/image-0"
mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 "$1/image-0"
mount -o loop "$1/image-0" "$1/disk"
`

export class CutDisk {
  /** Where the file system is mounted, as seen from inside. */
  readonly folder: string
  readonly #base: string
  readonly #mounts: MountNamespace
  #images = 1

  private constructor(base: string, mounts: MountNamespace) {
    this.#base = base
    this.folder = join(base, 'disk')
    this.#mounts = mounts
  }

  static async mount(base: string): Promise<CutDisk | undefined> {
    const options = { needsRoot: true }
    const mounts = await MountNamespace.open(SCRIPT, [base, String(IMAGE_MIB)], options)
    return mounts && new CutDisk(base, mounts)
  }

  /** Runs the rest of its arguments where the disk is mounted. */
  get launcher(): readonly string[] {
    return this.#mounts.launcher
  }

  /** A path on the disk as this process reaches it. */
  path(...names: string[]): string {
    return join(this.#mounts.root, this.folder, ...names)
  }

  /** What the device holds at this moment; whoever writes to it should be stopped. */
  async copy(): Promise<string> {
    const now = `${this.#base}/image-${this.#images - 1}`
    const copy = `${this.#base}/image-${this.#images++}`
    for (let copies = 0; copies < COPIES_MAX; copies++) {
      const before = this.#writes()
      await this.#mounts.run('cp', '--sparse=always', now, copy)
      if (before !== undefined && this.#writes() === before) return copy
    }
    throw new Error('the device does not come to rest')
  }

  /** Puts the copy in the place of the disk, which nobody may use any more. */
  async restore(copy: string): Promise<void> {
    const { folder } = this
    await this.#mounts.run('umount', folder)
    await this.#mounts.run('mount', '-o', 'loop', copy, folder)
    for (let image = 0; image < this.#images - 1; image++) {
      await this.#mounts.run('rm', '-f', `${this.#base}/image-${image}`)
    }
  }

  unmount(): void {
    this.#mounts.close()
  }

  /** Requests that the device has written; undefined while some are under way. */
  #writes(): string | undefined {
    const { dev } = statSync(this.path())
    // As Linux packs a device number.
    const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)]
    const stat = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, 'utf8')
    const fields = stat.trim().split(/\s+/)
    return fields[8] === '0' ? fields[4] : undefined
  }
}
