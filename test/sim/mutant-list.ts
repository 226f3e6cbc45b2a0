// The log with one thing broken on purpose, in as many ways as it keeps promises.

import type { Change } from './compiled-copy.ts'
import type { SeedPlan } from './seed-run.ts'

export interface Mutant {
  name: string
  changes: readonly Change[]
  plan?: Partial<SeedPlan>
  /** Must live. */
  isControl?: boolean
}

const JOURNAL = 'agent/log/journal.ts'
const READER = 'agent/log/journal-reader.ts'
const CHECKPOINT = 'agent/log/checkpoint.ts'
const CHECKPOINTER = 'agent/log/checkpointer.ts'
const RECOVERY = 'agent/log/recovery.ts'
const COMMITTER = 'agent/log/committer.ts'
const SEGMENT = 'agent/log/segment.ts'
const SEGMENTS = 'agent/log/segment-list.ts'
const PARTITION = 'agent/log/partition-log.ts'
const TAILS = 'agent/log/tail-list.ts'

const NO_CHAIN: Change = {
  file: READER,
  find: 'frame !== undefined && frame.previousCrc === previousCrc',
  replace: 'frame !== undefined',
}
const NO_SALT: Change = {
  file: READER,
  find: 'bytes.readUInt32BE(position + 12) !== salt',
  replace: 'false',
}

/** `label: what is gone`. */
export const MUTANTS: readonly Mutant[] = [
  // ---- Salt and chain guard the same door: each is proved with the other one gone.
  {
    name: 'control: the salt, chain left',
    changes: [],
    plan: { hasSameSalts: true },
    isControl: true,
  },
  { name: 'chain: no check, salts the same', changes: [NO_CHAIN], plan: { hasSameSalts: true } },
  { name: 'control: the chain, salt left', changes: [NO_CHAIN], isControl: true },
  { name: 'salt: no check, no chain', changes: [NO_CHAIN, NO_SALT] },

  // ---- fsync
  {
    name: 'fsync: of a journal write',
    changes: [
      {
        file: JOURNAL,
        find: "const handle = await options.fs.open(path, 'write', { durable: true })",
        replace: "const handle = await options.fs.open(path, 'write')",
      },
      {
        file: JOURNAL,
        find: "const handle = await fs.open(path, 'write', { durable: true })",
        replace: "const handle = await fs.open(path, 'write')",
      },
    ],
  },
  {
    name: 'fsync: of segments before a checkpoint',
    changes: [
      {
        file: SEGMENTS,
        find: 'if (segment.isUnsynced) await segment.sync()',
        replace: 'void segment',
      },
    ],
  },
  {
    name: 'fsync: of a checkpoint',
    changes: [{ file: CHECKPOINT, find: 'await file.sync()', replace: '' }],
  },
  {
    name: 'fsync: believed after one has failed',
    changes: [{ file: SEGMENT, find: 'this.#syncFailed = true\n', replace: '\n' }],
  },
  {
    name: 'fsync: a journal write that failed, again in place',
    changes: [{ file: JOURNAL, find: 'await this.roll(1, false)', replace: '' }],
  },

  // ---- directory fsync
  {
    name: 'directory fsync: of a new segment',
    changes: [
      {
        file: SEGMENTS,
        find: 'await this.#context.fs.syncDirectory(this.#directory)',
        replace: '',
      },
    ],
  },
  {
    name: 'directory fsync: of a new partition',
    changes: [
      {
        file: SEGMENTS,
        find: 'await this.#context.fs.syncDirectory(parentOf(this.#directory))',
        replace: '',
      },
    ],
  },
  {
    name: 'directory fsync: of a new journal file',
    changes: [{ file: JOURNAL, find: 'await fs.syncDirectory(directory)', replace: '' }],
  },

  // ---- checkpoint order
  {
    name: 'checkpoint order: journal reused before it',
    changes: [
      {
        file: CHECKPOINTER,
        find: 'const marks: PartitionMark[] = []',
        replace: 'this.#oldestNeeded = generation\nconst marks: PartitionMark[] = []',
      },
    ],
  },
  {
    name: 'checkpoint order: state younger than its journal',
    changes: [
      {
        file: CHECKPOINTER,
        find: 'await this.#write(release)',
        replace: 'await this.#write({ ...release, state: [...this.#options.state.entries()] })',
      },
    ],
  },
  {
    name: 'checkpoint order: before its first commit',
    changes: [{ file: CHECKPOINTER, find: 'await committer.durable(release.commit)', replace: '' }],
  },
  {
    name: 'checkpoint order: before tails are sealed',
    changes: [
      { file: CHECKPOINTER, find: 'await partition.sealed(offset).catch(() => {})', replace: '' },
      {
        file: CHECKPOINTER,
        find: 'if (!partition.isDiscarded && partition.sealedOffset < offset) return',
        replace: '',
      },
    ],
  },
  {
    name: 'checkpoint order: always the same copy',
    changes: [
      { file: CHECKPOINT, find: 'checkpoint.number % 2', replace: '0 * checkpoint.number' },
    ],
  },
  {
    name: 'checkpoint: its CRC is not checked',
    changes: [
      {
        file: CHECKPOINT,
        find: 'codecs.crc32c(body) !== bytes.readUInt32BE(body.length)',
        replace: 'false',
      },
    ],
  },
  {
    name: 'carry: small tails stay in the old generation',
    changes: [{ file: CHECKPOINTER, find: 'committer.carry(partition)', replace: '' }],
  },
  {
    name: 'carry: only what is new of a tail',
    changes: [
      { file: CHECKPOINTER, find: 'tail.journaledLength = 0', replace: '' },
      { file: CHECKPOINTER, find: 'tail.journaledCount = 0', replace: '' },
    ],
  },

  // ---- commits
  {
    name: 'commit: acked before it is written',
    changes: [
      {
        file: COMMITTER,
        find: 'const frames = this.#encode(state, partitions)',
        replace: 'this.#settle(number)\nconst frames = this.#encode(state, partitions)',
      },
    ],
  },
  {
    name: 'commit: visible before it is written',
    changes: [
      {
        file: COMMITTER,
        find: 'partition.committingOffset = partition.logEndOffset',
        replace: 'partition.committingOffset = partition.highWatermark = partition.logEndOffset',
      },
    ],
  },
  {
    name: 'commit: half of one counts',
    changes: [{ file: RECOVERY, find: 'if (frame.more) continue', replace: '' }],
  },
  {
    name: 'commit: goes on in no other file',
    changes: [
      {
        file: RECOVERY,
        find: 'this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc }',
        replace:
          'this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc }\nthis.#commit.drop()',
      },
    ],
  },
  {
    name: 'commit: riding state overtakes a put',
    changes: [{ file: COMMITTER, find: 'this.#riding.delete(key)', replace: '' }],
  },

  // ---- recovery
  {
    name: 'recovery: journal frames without their CRC',
    changes: [
      {
        file: READER,
        find: 'kernel.crc32c(SCRATCH, end - position - 8) !== crc',
        replace: 'false',
      },
    ],
  },
  {
    name: 'recovery: segments without their CRCs',
    changes: [
      {
        file: SEGMENT,
        find: 'const range = { from: from.position, to: fileBytes, offset: from.baseOffset, codecs }',
        replace:
          'const range = { from: from.position, to: fileBytes, offset: from.baseOffset }\nvoid codecs',
      },
    ],
  },
  {
    name: 'recovery: what is cut stays in the file',
    changes: [
      {
        file: SEGMENT,
        find: 'if (cutBytes > 0) await file.truncate(outcome.position)',
        replace: 'this.#size = fileBytes',
      },
    ],
  },
  {
    name: 'recovery: segments behind a cut stay',
    changes: [{ file: SEGMENTS, find: 'await this.#removeFiles(bases.slice(index))', replace: '' }],
  },
  {
    name: 'recovery: segments are not written again',
    changes: [
      {
        file: SEGMENT,
        find: 'await copyRange(file, file, from.position, outcome.position)',
        replace: '',
      },
    ],
  },
  {
    name: 'recovery: the journal is not written again',
    changes: [
      {
        file: RECOVERY,
        find: 'await writeAgain(fs, path, [[0, SECTOR_BYTES], lastFrame])',
        replace: '',
      },
    ],
  },
  {
    name: 'recovery: the checkpoint is not written again',
    changes: [
      {
        file: RECOVERY,
        find: 'await writeAgain(target.fs, bestPath, [[0, Number.MAX_SAFE_INTEGER]])',
        replace: '',
      },
    ],
  },
  {
    name: 'recovery: goes on behind half a commit',
    changes: [
      {
        file: RECOVERY,
        find: 'if (isRotten || this.#commit.isOpen) this.resume',
        replace: 'if (isRotten) this.resume',
      },
    ],
  },
  {
    name: 'recovery: journals in no order',
    changes: [
      {
        file: RECOVERY,
        find: '.sort((a, b) => a.header!.generation - b.header!.generation)',
        replace: '',
      },
    ],
  },
  {
    name: 'recovery: records are replayed twice',
    changes: [
      {
        file: RECOVERY,
        find: 'if (first + entry.count <= partition.logEndOffset) return',
        replace: 'if (first + entry.count < partition.logEndOffset) return',
      },
    ],
  },

  // ---- segments and tails
  {
    name: 'split: not at the offset',
    changes: [
      {
        file: PARTITION,
        find: 'if (now !== undefined && !this.#tails.split(now, offset)) {',
        replace: 'if (now === tail && offset < 0) {',
      },
    ],
  },
  {
    name: 'split: one record later',
    changes: [
      {
        file: TAILS,
        find: 'const rest = this.#copy(tail, at, { slot, slotBytes, offset })',
        replace: 'const rest = this.#copy(tail, at, { slot, slotBytes, offset: offset + 1 })',
      },
    ],
  },
  {
    name: 'split: greatest timestamp of both halves',
    changes: [{ file: TAILS, find: 'tail.maxTimestamp = this.#maxTimestamp(tail)', replace: '' }],
  },
  {
    name: 'split: a tail that is not durable',
    changes: [
      {
        file: PARTITION,
        find: 'while (!tail.isDurable) await committer.durable(committer.durableCommit + 1)',
        replace: 'void committer',
      },
    ],
  },
  {
    name: 'seal: a tail that is not durable',
    changes: [
      {
        file: TAILS,
        find: 'oldest?.frozen === true && oldest.holders === 0 && oldest.isDurable',
        replace: 'oldest?.frozen === true && oldest.holders === 0',
      },
    ],
  },
  {
    name: 'segment: an index entry is believed',
    changes: [
      {
        file: 'agent/log/index-pair.ts',
        find: 'batch?.nextOffset === this.#baseOffset + relativeOffset + 1 ? batch : undefined',
        replace: 'relativeOffset >= 0 ? batch : undefined',
      },
    ],
  },

  // ---- retention and deletion
  {
    name: 'retention: past what is replicated',
    changes: [
      {
        file: 'agent/log/retention.ts',
        find: 'nextOffset > replicatedOffset) break',
        replace: 'nextOffset < 0) break',
      },
    ],
  },
  {
    name: 'retention: files go before the start is durable',
    changes: [
      {
        file: 'agent/log/retainer.ts',
        find: 'await committer.durable(committer.openCommit)',
        replace: '',
      },
    ],
  },
  {
    name: 'deletion: files go before it is durable',
    changes: [
      {
        file: 'agent/log/topic-set.ts',
        find: 'await this.#committer.durable(this.#committer.openCommit)',
        replace: '',
      },
    ],
  },
]
