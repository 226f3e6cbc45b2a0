// What the golden store files hold, and how they are made: README.md beside this file.
//
// Everything is fixed: salt, times, ids. The same code makes the same bytes, so a writer that
// changes is seen, and a reader that changes no longer finds what is written here.

import { writeCheckpoint } from '../../../agent/log/checkpoint.ts'
import type { FileSystem } from '../../../agent/log/file-system.ts'
import { Journal } from '../../../agent/log/journal.ts'
import {
  type JournalEntry,
  writeBatchHeader,
  writeRecordsHeader,
  writeStateEntry,
} from '../../../agent/log/journal-entry.ts'
import { encodeRecord } from '../../../agent/record/record.ts'
import { buildBatch } from '../../../agent/record/record-batch.ts'
import { SCRATCH } from '../../../wasm/assembly/limits.ts'
import { codecs, kernel } from '../../support/batches.ts'

/** 2026-11-24T12:00:00.000Z. */
const NOON = 1_795_521_600_000
export const SALT = 0x5a17c0de
export const JOURNAL_BYTES = 8192

export interface GoldenFrame {
  time: number
  more: boolean
  entries: JournalEntry[]
}

function records(firstDelta: number, count: number): Buffer {
  const encoded = Array.from({ length: count }, (_, index) => {
    const offsetDelta = firstDelta + index
    return encodeRecord({
      offsetDelta,
      timestampDelta: offsetDelta * 250,
      key: offsetDelta === 1 ? null : Buffer.from('th-1'),
      value: Buffer.from(`{"temp":${20 + offsetDelta}}`),
      headers: [['mqtt.topic', Buffer.from('sensors/th-1/temp')]],
    })
  })
  return Buffer.concat(encoded)
}

const TAIL = { logId: 1, tailBase: 840_112, baseTimestamp: NOON - 1000 }
const TOPIC = {
  id: '00000000-0000-4000-8000-000000000001',
  settings: { partitions: 1, replicated: true, retentionMs: 604_800_000 },
  logIds: [1],
}

export const FRAMES: readonly GoldenFrame[] = [
  {
    time: NOON,
    more: false,
    entries: [
      { kind: 'put', key: 'topic/plant-7.sensors', value: Buffer.from(JSON.stringify(TOPIC)) },
      { kind: 'put', key: 'start/1', value: Buffer.from('840000') },
      {
        kind: 'records',
        ...TAIL,
        maxTimestamp: NOON - 500,
        firstDelta: 0,
        count: 3,
        bytes: records(0, 3),
      },
    ],
  },
  {
    time: NOON + 7,
    more: true,
    entries: [
      {
        kind: 'records',
        ...TAIL,
        maxTimestamp: NOON - 250,
        firstDelta: 3,
        count: 1,
        bytes: records(3, 1),
      },
    ],
  },
  {
    time: NOON + 7,
    more: false,
    entries: [
      { kind: 'delete', key: 'qos2/th-1/17' },
      {
        kind: 'batch',
        logId: 2,
        baseOffset: 5_000_000_000,
        bytes: buildBatch(
          [
            { timestamp: NOON, key: null, value: Buffer.from('kept as it came'), headers: [] },
            { timestamp: NOON - 40, key: Buffer.from('k'), value: null, headers: [] },
          ],
          { codecs, baseOffset: 5_000_000_000 },
        ),
      },
    ],
  },
  {
    time: NOON + 20,
    more: false,
    entries: [
      { kind: 'put', key: 'session/th-1', value: Buffer.from(JSON.stringify(filters(200))) },
    ],
  },
]

export const CHECKPOINT = {
  number: 9,
  generation: 7,
  sequence: 1,
  isClean: true,
  time: NOON + 30,
  state: [
    ['store/gateway', Buffer.from('plant-7')],
    ['pid/next', Buffer.alloc(0)],
  ] as [string, Buffer][],
  partitions: [
    { logId: 2, recoveryOffset: 0, segments: [] },
    {
      logId: 1,
      recoveryOffset: 5_000_000_123,
      segments: [
        {
          baseOffset: 840_000,
          arrival: NOON - 86_400_000,
          bytes: 16_777_000,
          maxTimestamp: NOON - 86_400_123,
        },
        { baseOffset: 4_999_999_999, arrival: NOON, bytes: undefined, maxTimestamp: undefined },
      ],
    },
  ],
}

function filters(count: number): [string, number][] {
  return Array.from({ length: count }, (_, index) => [`commands/th-1/${index}`, 1])
}

/** A payload in the kernel's scratch window; its length. */
function stage(entries: readonly JournalEntry[]): number {
  const { buffer, view, u8 } = kernel
  let position = SCRATCH
  for (const entry of entries) {
    if (entry.kind === 'put' || entry.kind === 'delete') {
      const value = entry.kind === 'put' ? entry.value : undefined
      position = writeStateEntry(buffer, position, entry.key, value)
      continue
    }
    const { bytes } = entry
    position =
      entry.kind === 'records'
        ? writeRecordsHeader(view, position, entry, bytes.length)
        : writeBatchHeader(view, position, entry.logId, entry.baseOffset, bytes.length)
    u8.set(bytes, position)
    position += bytes.length
  }
  return position - SCRATCH
}

/** Writes `journal-0` and `checkpoint-1` into an existing directory. */
export async function writeGoldenStore(fs: FileSystem, directory: string): Promise<void> {
  const limits = { fileBytes: JOURNAL_BYTES, frameBytesMax: JOURNAL_BYTES }
  const options = { fs, directory, kernel, ...limits, randomSalt: () => SALT }
  const journal = await Journal.open(options, [], { generation: 6, sequence: 0 }, undefined)
  await journal.roll(1, false)
  for (const { entries, time, more } of FRAMES) {
    await journal.append(SCRATCH, stage(entries), time, more)
  }
  await journal.close()
  await writeCheckpoint(fs, directory, CHECKPOINT, codecs)
}
