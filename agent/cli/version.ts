// The version in package.json, which lies above the sources and above the built files alike.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const VERSION: string = readVersion(dirname(fileURLToPath(import.meta.url)))

function readVersion(folder: string): string {
  try {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    if (name === 'tributary') return String(version)
  } catch {
    // Not in this folder.
  }
  const above = dirname(folder)
  return above === folder ? 'unknown' : readVersion(above)
}
