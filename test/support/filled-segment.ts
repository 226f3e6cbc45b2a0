// A segment of made batches on a simulated disk.

import * as assert from 'uvu/assert'
import { OpenFiles } from '../../agent/log/open-files.ts'
import { ReadAhead } from '../../agent/log/read-ahead.ts'
import { Segment, type SegmentContext } from '../../agent/log/segment.ts'
import { IndexCache } from '../../agent/log/segment-index.ts'
import { codecs, kernel, type MadeBatch, makeBatches } from './batches.ts'
import { SimFileSystem } from './sim-file-system.ts'

export const BASE = 1000
export const LOG = '/p/00000000000000001000.log'
export const INDEX = '/p/00000000000000001000.index'
export const TIME_INDEX = '/p/00000000000000001000.timeindex'

export function contextOf(fs: SimFileSystem): SegmentContext {
  const [indexCache, readAhead] = [new IndexCache(kernel, 8), new ReadAhead()]
  return { fs, codecs, files: new OpenFiles(fs, 4), indexCache, readAhead }
}

export async function emptyStore(seed = 1) {
  const fs = new SimFileSystem(seed)
  await fs.makeDirectory('/p')
  await fs.syncDirectory('/')
  return { fs, context: contextOf(fs) }
}

/** A segment with these batches, written one by one, finished and synced. */
export async function filled(batches: readonly MadeBatch[], seed = 1) {
  const { fs, context } = await emptyStore(seed)
  const segment = await Segment.create(context, '/p', BASE)
  await fs.syncDirectory('/p')
  for (const { bytes } of batches) await segment.append(bytes)
  await segment.finish()
  await segment.sync()
  await fs.syncDirectory('/p')
  return { fs, context, segment }
}

export const made = (count: number, seed = 1) => makeBatches(count, seed, { baseOffset: BASE })
export const endOf = (batches: readonly MadeBatch[]) => batches.at(-1)!.nextOffset
export const bytesOf = (batches: readonly MadeBatch[]) =>
  Buffer.concat(batches.map(({ bytes }) => bytes))

export async function overwrite(fs: SimFileSystem, path: string, position: number, bytes: Buffer) {
  const file = await fs.open(path, 'write')
  await file.write([bytes], position)
  await file.sync()
  await file.close()
}

export async function checkAll(segment: Segment, batches: readonly MadeBatch[]): Promise<void> {
  for (const { baseOffset, nextOffset, position } of batches) {
    assert.is(await segment.positionOf(baseOffset), position)
    assert.is(await segment.positionOf(nextOffset - 1), position)
  }
}
