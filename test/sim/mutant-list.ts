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
const REPLAY = 'agent/log/replay.ts'
const MENDING = 'agent/log/mending.ts'
const RETAINER = 'agent/log/retainer.ts'
const COMMITTER = 'agent/log/committer.ts'
const _SEGMENT = 'agent/log/segment.ts'
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

type Edit = readonly [file: string, find: string, replace: string]

function mutant(name: string, ...edits: readonly Edit[]): Mutant {
  return { name, changes: edits.map(([file, find, replace]) => ({ file, find, replace })) }
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
  mutant('fsync: of a journal write', [
    JOURNAL,
    'const FRAMES = { durable: true, direct: true } as const',
    'const FRAMES = { durable: false, direct: true } as const',
  ]),
  mutant('fsync: of segments before a checkpoint', [
    SEGMENTS,
    'if (segment.isUnsynced) await segment.sync()',
    'void segment',
  ]),
  mutant('fsync: of a checkpoint', [CHECKPOINT, 'await file.sync()', '']),
  mutant('fsync: believed after one has failed', [
    'agent/log/segment-file.ts',
    '    } catch {\n      this.#syncFailed = true\n    }',
    '    } catch {}',
  ]),
  mutant('fsync: a journal write that failed, again in place', [
    JOURNAL,
    'if (!(await this.roll(this.oldestNeeded, true))) {',
    'if (this.oldestNeeded < 0) {',
  ]),

  // ---- directory fsync
  mutant('directory fsync: of a new segment', [
    SEGMENTS,
    '      await this.#context.fs.syncDirectory(this.#directory)\n      await',
    '      await',
  ]),
  mutant('directory fsync: of a new partition', [
    SEGMENTS,
    'await this.#context.fs.syncDirectory(parentOf(this.#directory))',
    '',
  ]),
  mutant('directory fsync: of a new journal file', [
    JOURNAL,
    'await fs.syncDirectory(directory)',
    '',
  ]),

  // ---- checkpoint order
  mutant('checkpoint order: journal reused before it', [
    CHECKPOINTER,
    'const marks: PartitionMark[] = []',
    'this.#oldestNeeded = generation\nconst marks: PartitionMark[] = []',
  ]),
  mutant('checkpoint order: state younger than its journal', [
    CHECKPOINTER,
    'await this.#write(() => ({ ...release, isClean: false }), true)',
    'await this.#write(() => ({ ...release, isClean: false, state: [...this.#options.state.entries()] }), true)',
  ]),
  mutant('checkpoint order: before its first commit', [
    CHECKPOINTER,
    'await committer.durable(release.commit)',
    '',
  ]),
  mutant(
    'checkpoint order: before tails are sealed',
    [CHECKPOINTER, 'await partition.sealed(offset).catch(() => {})', ''],
    [CHECKPOINTER, 'if (!partition.isDiscarded && partition.sealedOffset < offset) return', ''],
  ),
  mutant('checkpoint order: always the same copy', [
    CHECKPOINT,
    'checkpoint.number % 2',
    '0 * checkpoint.number',
  ]),
  mutant('checkpoint: its CRC is not checked', [
    CHECKPOINT,
    'codecs.crc32c(body) !== bytes.readUInt32BE(body.length)',
    'false',
  ]),
  mutant('carry: small tails stay in the old generation', [
    CHECKPOINTER,
    'committer.carry(partition)',
    '',
  ]),
  mutant(
    'carry: only what is new of a tail',
    [CHECKPOINTER, 'tail.journaledLength = 0', ''],
    [CHECKPOINTER, 'tail.journaledCount = 0', ''],
  ),

  // ---- commits
  mutant('commit: acked before it is written', [
    COMMITTER,
    'const frames = this.#encode(state, partitions)',
    'this.#settle(number)\nconst frames = this.#encode(state, partitions)',
  ]),
  mutant('commit: visible before it is written', [
    COMMITTER,
    'partition.committingOffset = partition.logEndOffset',
    'partition.committingOffset = partition.highWatermark = partition.logEndOffset',
  ]),
  mutant('commit: half of one counts', [REPLAY, 'if (frame.more) continue', '']),
  mutant('commit: goes on in no other file', [
    REPLAY,
    'this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc }',
    'this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc }\nthis.#commit.drop()',
  ]),
  mutant('commit: riding state overtakes a put', [COMMITTER, 'this.#riding.delete(key)', '']),

  // ---- recovery
  mutant('recovery: journal frames without their CRC', [
    READER,
    'kernel.crc32c(SCRATCH, end - position - 8) !== crc',
    'false',
  ]),
  mutant('recovery: segments without their CRCs', [
    'agent/log/segment-recovery.ts',
    'const range = { from: position, to: size, offset: nextOffset, codecs }',
    'const range = { from: position, to: size, offset: nextOffset }\nvoid codecs',
  ]),
  mutant('recovery: what is cut stays in the file', [
    'agent/log/segment-recovery.ts',
    '  if (size === fileBytes) return\n  await file.truncate(size)',
    '  if (size === fileBytes) return',
  ]),
  mutant('recovery: segments behind a cut stay', [
    SEGMENTS,
    'await this.#removeFiles(bases.slice(index))',
    '',
  ]),
  mutant('recovery: segments are not written again', [
    'agent/log/segment-recovery.ts',
    'await copyRange(file, file, from.position, size)',
    '',
  ]),
  mutant('recovery: the journal is not written again', [
    REPLAY,
    'if (!(await writeAgain(fs, path, bytes, ranges))) this.unwritable.push(path)',
    '',
  ]),
  mutant('recovery: the checkpoint is not written again', [
    RECOVERY,
    '(await writeAgain(fs, read.path, read.bytes, [[0, read.bytes.length]]))',
    'true',
  ]),
  mutant('recovery: goes on behind half a commit', [
    REPLAY,
    'if (isDamaged || this.#commit.isOpen) this.resume',
    'if (isDamaged) this.resume',
  ]),
  mutant('recovery: journals in no order', [
    'agent/log/store-survey.ts',
    'known.sort((a, b) => a.header.generation - b.header.generation)',
    '',
  ]),
  mutant('recovery: records are replayed twice', [
    REPLAY,
    'if (first + entry.count <= partition.logEndOffset) return',
    'if (first + entry.count < partition.logEndOffset) return',
  ]),

  // ---- segments and tails
  mutant('split: not at the offset', [
    PARTITION,
    'if (now !== undefined && !this.#tails.split(now, offset)) {',
    'if (now === tail && offset < 0) {',
  ]),
  mutant('split: one record later', [
    TAILS,
    'const rest = this.#copy(tail, at, { slot, slotBytes, offset })',
    'const rest = this.#copy(tail, at, { slot, slotBytes, offset: offset + 1 })',
  ]),
  mutant('split: greatest timestamp of both halves', [
    TAILS,
    'tail.maxTimestamp = this.#maxTimestamp(tail)',
    '',
  ]),
  mutant('split: a tail that is not durable', [
    PARTITION,
    'while (!tail.isDurable) await committer.durable(committer.durableCommit + 1)',
    'void committer',
  ]),
  mutant('seal: a tail that is not durable', [
    TAILS,
    'oldest?.frozen === true && oldest.holders === 0 && oldest.isDurable',
    'oldest?.frozen === true && oldest.holders === 0',
  ]),
  mutant('segment: an index entry is believed', [
    'agent/log/index-pair.ts',
    'batch?.nextOffset === this.#baseOffset + relativeOffset + 1 ? batch : undefined',
    'relativeOffset >= 0 ? batch : undefined',
  ]),

  // ---- retention and deletion
  mutant('retention: past what is replicated', [
    'agent/log/retention.ts',
    'return offset <= replicatedOffset && now',
    'return offset >= 0 && now',
  ]),
  mutant('retention: files go before the start is durable', [
    'agent/log/retainer.ts',
    'await committer.durable(committer.openCommit)',
    '',
  ]),
  mutant('deletion: files go before it is durable', [
    'agent/log/topic-set.ts',
    'await this.#committer.durable(this.#committer.openCommit)',
    '',
  ]),

  // ---- loss
  mutant('reclaim: what is not replicated', [
    RETAINER,
    '({ nextOffset }) => nextOffset <= replicatedOffset',
    '({ nextOffset }) => nextOffset > 0 || replicatedOffset > 0',
  ]),
  mutant('hollow boundary: below the pin', [
    RETAINER,
    'return Math.max(pinnedOffset, replicatedOffset)',
    'return Math.max(pinnedOffset - 1, 0 * replicatedOffset)',
  ]),
  mutant('hollow boundary: one offset further', [
    MENDING,
    'changes.push({ segment, plan: await segment.plan([wanted]) })',
    'changes.push({ segment, plan: await segment.plan([{ ...wanted, from: wanted.from + 1 }]) })',
  ]),
  mutant('hollow boundary: one offset short in the header', [
    'agent/log/made-batch.ts',
    'from + count - 1},',
    'from + count},',
  ]),
  mutant('loss: not counted', [
    MENDING,
    'for (const range of added) this.#losses.add(range)',
    'void added',
  ]),
  mutant('loss: changed before it is durable', [
    MENDING,
    'await committer.durable(committer.openCommit)',
    'void committer',
  ]),
  mutant('loss: an intent is not settled', [MENDING, 'this.#intent.length > 0 ||', '']),
  mutant('loss: CRCs are not looked at on reading', [
    'agent/log/segment-scan.ts',
    'if (!crcs.holds(length, size)) {',
    'if (!crcs.holds(length, size) && size < 0) {',
  ]),
]
