// What one durable write costs on this disk now: overwrite 4 KiB of a preallocated file, then
// fdatasync, again and again through Node's thread pool. One message at a time cannot be acked
// faster than this.

import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from './process-usage.ts'

const BLOCK = 4096
const FILE_BYTES = 16 * 1024 * 1024

export async function measureFdatasync(seconds: number): Promise<{ p50Ms: number; count: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-fdatasync-'))
  const file = await open(join(folder, 'file'), 'w')
  try {
    await file.write(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0)
    await file.sync()
    const block = Buffer.alloc(BLOCK, 0x5a)
    const times: number[] = []
    const end = performance.now() + seconds * 1000
    for (let position = 0; performance.now() < end; position = (position + BLOCK) % FILE_BYTES) {
      const start = performance.now()
      await file.write(block, 0, BLOCK, position)
      await file.datasync()
      times.push(performance.now() - start)
    }
    return { p50Ms: median(times), count: times.length }
  } finally {
    await file.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
