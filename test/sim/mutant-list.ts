// The log with one thing broken on purpose, in as many ways as it keeps promises; names are
// `class: what is broken`. Here are the seven classes without which nothing else holds, and the controls.
//
// Where two guards stand at one door, breaking one of them breaks no promise: such a pair is broken
// together, and a control shows that the guard that is left is enough.

import { damageMutants } from './damage-mutants.ts'
import { logMutants } from './log-mutants.ts'
import {
  CHECKPOINT,
  CHECKPOINTER,
  control,
  DIRECTORY,
  type Edit,
  JOURNAL,
  MADE_BATCH,
  MENDING,
  type Mutant,
  mutant,
  narrowMutant,
  PARTITION,
  READER,
  RECOVERY,
  REPLAY,
  RETAINER,
  REWRITE,
  SEGMENT,
  SEGMENT_FILE,
  SEGMENT_RECOVERY,
  SEGMENTS,
  TAILS,
} from './mutant.ts'

/** Breaking any of them is seen: each has a mutant that is killed. */
export const REQUIRED = [
  'fsync',
  'salt',
  'chain',
  'directory fsync',
  'checkpoint order',
  'split at L',
  'hollow boundary',
] as const

const NO_CHAIN: Edit = [
  READER,
  'frame !== undefined && frame.previousCrc === previousCrc',
  'frame !== undefined',
]
/**
 * No salt that a forger guesses: stale frames come alive with it, and nothing else does. They stand behind
 * the end of what was written, where a frame that holds would be called proof of rot.
 */
const SAME_SALTS: readonly Edit[] = [
  [
    JOURNAL,
    'const salt = this.#options.randomSalt() >>> 0',
    'const salt = this.#options.randomSalt() > 0 ? 7 : 7',
  ],
  [
    READER,
    'if (frame !== undefined && frame.sequence > sequence) return frame',
    'if (frame !== undefined && frame.sequence < 0 * sequence) return frame',
  ],
]
const NO_SALT_CHECK: Edit = [READER, 'bytes.readUInt32BE(position + 12) !== salt', 'false']
const ROUNDED_DOWN: Edit = [
  RETAINER,
  'return read.baseOffset >= offset ? read.baseOffset : read.nextOffset',
  'return read.baseOffset',
]

const REQUIRED_MUTANTS: readonly Mutant[] = [
  // ---- fsync
  mutant('fsync: of a journal write', [
    JOURNAL,
    'const FRAMES = { durable: true, direct: true } as const',
    'const FRAMES = { durable: false, direct: true } as const',
  ]),
  mutant('fsync: of a journal write to a file that was there', [
    JOURNAL,
    "await options.fs.open(path, 'write', FRAMES)",
    "await options.fs.open(path, 'write')",
  ]),
  mutant('fsync: of a journal write to a new file', [
    JOURNAL,
    "await fs.open(path, 'write', FRAMES)",
    "await fs.open(path, 'write')",
  ]),
  mutant('fsync: of segments before a checkpoint', [
    SEGMENTS,
    'if (segment.isUnsynced) await this.#syncSegment(segment)',
    'void segment',
  ]),
  mutant('fsync: of a checkpoint', [
    CHECKPOINT,
    'await file.truncate(bytes.length)\n    await file.sync()',
    'await file.truncate(bytes.length)',
  ]),
  mutant('fsync: of a segment that takes the place of another', [
    REWRITE,
    '    await target.sync()\n    return position',
    '    return position',
  ]),
  mutant('fsync: believed after one has failed', [
    SEGMENT_FILE,
    '      unlessBug(error)\n      this.#syncFailed = true\n',
    '      unlessBug(error)\n',
  ]),
  mutant('fsync: nothing is written anew after one has failed', [
    SEGMENT,
    'await this.#replace(parts, isMoved)\n',
    '',
  ]),
  mutant('fsync: a journal write that failed, again in place', [
    JOURNAL,
    'if (!(await this.roll(this.oldestNeeded, true))) {',
    'if (this.oldestNeeded < 0) {',
  ]),
  mutant('fsync: segments are not written again by a start', [
    SEGMENT_RECOVERY,
    'await copyRange(file, file, from.position, size)',
    '',
  ]),
  mutant('fsync: the journal is not written again by a start', [
    REPLAY,
    'if (!(await writeAgain(fs, path, bytes, ranges))) this.unwritable.push(path)',
    '',
  ]),
  mutant('fsync: the checkpoint is not written again by a start', [
    RECOVERY,
    '(await writeAgain(fs, read.path, read.bytes, [[0, read.bytes.length]]))',
    'true',
  ]),

  // ---- salt: a payload that looks like a frame, with a salt that was guessed
  mutant('salt: one that can be guessed', [
    JOURNAL,
    'const salt = this.#options.randomSalt() >>> 0',
    'const salt = this.#options.randomSalt() > 0 ? 1 : 1',
  ]),
  mutant('salt: not checked', NO_SALT_CHECK),
  mutant('salt: not checked, nor the chain', NO_SALT_CHECK, NO_CHAIN),

  // ---- chain: frames of an earlier use of the file, which the salt keeps out as well
  mutant('chain: not checked, salts the same', NO_CHAIN, ...SAME_SALTS),
  mutant(
    'chain: the same for all frames, salts the same',
    [JOURNAL, 'view.setUint32(at + 8, this.#previousCrc)', 'view.setUint32(at + 8, 5)'],
    [
      READER,
      'frame !== undefined && frame.previousCrc === previousCrc',
      'frame !== undefined && (frame.previousCrc === 5 || previousCrc < 0)',
    ],
    ...SAME_SALTS,
  ),
  mutant('chain: not written', [
    JOURNAL,
    'view.setUint32(at + 8, this.#previousCrc)',
    'view.setUint32(at + 8, 0)',
  ]),
  mutant('chain: every frame follows the header', [
    JOURNAL,
    '    this.#previousCrc = crc\n    this.#sequence++',
    '    this.#sequence++',
  ]),
  mutant('chain: a start follows the header', [
    REPLAY,
    'this.resume = { ...at, position, previousCrc: frame.crc }',
    'this.resume = { ...at, position, previousCrc: header.crc }',
  ]),
  control('control: salts the same, chain left', {}, ...SAME_SALTS),
  control('control: chain not checked, salt left', {}, NO_CHAIN),

  // ---- directory fsync
  mutant('directory fsync: of a new segment', [
    DIRECTORY,
    '      await this.#context.fs.syncDirectory(this.path)\n      if',
    '      if',
  ]),
  mutant('directory fsync: of a new partition', [
    DIRECTORY,
    'if (isNew) await this.#context.fs.syncDirectory(parentOf(this.path))',
    '',
  ]),
  mutant('directory fsync: of a new journal file', [
    JOURNAL,
    'await fs.syncDirectory(directory)',
    '',
  ]),
  narrowMutant('directory fsync: of a new checkpoint', [
    CHECKPOINT,
    'await fs.syncDirectory(directory)',
    '',
  ]),
  mutant('directory fsync: of a segment that takes the place of another', [
    SEGMENT_FILE,
    'await fs.syncDirectory(this.#directory)',
    '',
  ]),

  // ---- checkpoint order
  mutant('checkpoint order: beside the syncs of segments', [
    SEGMENTS,
    'if (segment.isUnsynced) await this.#syncSegment(segment)',
    'if (segment.isUnsynced) void this.#syncSegment(segment).catch(() => {})',
  ]),
  mutant('checkpoint order: before the syncs of their names', [
    SEGMENTS,
    '    await this.syncNames()\n    return marks',
    'const late = async () => {\n for (let turns = 0; turns < 200; turns++) await undefined\n await this.syncNames()\n }\n void late().catch(() => {})\n return marks',
  ]),
  mutant('checkpoint order: journal reused before segments are synced', [
    CHECKPOINTER,
    'const marks: PartitionMark[] = []',
    'this.#oldestNeeded = next.generation\nconst marks: PartitionMark[] = []',
  ]),
  mutant('checkpoint order: journal reused before it is written', [
    CHECKPOINTER,
    'const { generation, sequence, isClean, state } = next',
    'const { generation, sequence, isClean, state } = next\nthis.#oldestNeeded = generation',
  ]),
  mutant('checkpoint order: state younger than its journal', [
    CHECKPOINTER,
    'const content = { generation, sequence, isClean, time, state, partitions: marks }',
    'const younger = [...this.#options.state.entries()]\nconst content = { generation, sequence, isClean, time, state: younger, partitions: marks }\nvoid state',
  ]),
  mutant(
    'checkpoint order: before tails are sealed',
    [
      CHECKPOINTER,
      'partition.sealed(offset).then(end, end)',
      'partition.sealed(offset).then(end, end)\nend()',
    ],
    [
      CHECKPOINTER,
      'return partition.isDiscarded || partition.sealedOffset >= offset',
      'return true',
    ],
  ),
  mutant('checkpoint order: state changes behind the last one', [
    CHECKPOINTER,
    "committer.close(new AgentError('CLOSED', 'the log is closed'))",
    '',
  ]),
  mutant('checkpoint order: always the same copy', [
    CHECKPOINT,
    'CHECKPOINT_FILES[number % 2]',
    'CHECKPOINT_FILES[0 * number]',
  ]),
  mutant('checkpoint order: its marks are of what came while it synced', [
    SEGMENTS,
    '    return marks\n  }\n',
    '    return marks && this.#marks()\n  }\n',
  ]),

  // ---- split at L
  mutant('split at L: not at the offset', [
    PARTITION,
    'if (now !== undefined && !this.#tails.split(now, offset)) {',
    'if (now === tail && offset < 0) {',
  ]),
  mutant('split at L: one record later', [
    PARTITION,
    '!this.#tails.split(now, offset)',
    '!this.#tails.split(now, Math.min(offset + 1, now.endOffset - 1))',
  ]),
  mutant('split at L: one record earlier', [
    PARTITION,
    '!this.#tails.split(now, offset)',
    '!this.#tails.split(now, Math.max(offset - 1, now.baseOffset + 1))',
  ]),
  mutant('split at L: the second half begins one offset later', [
    TAILS,
    'const rest = this.#copy(tail, at, { slot, slotBytes, offset })',
    'const rest = this.#copy(tail, at, { slot, slotBytes, offset: offset + 1 })',
  ]),
  mutant('split at L: the first half keeps a record too many', [
    TAILS,
    'tail.count = offset - tail.baseOffset',
    'tail.count = offset - tail.baseOffset + 1',
  ]),
  mutant('split at L: greatest timestamp of both halves', [
    TAILS,
    'tail.maxTimestamp = this.#maxTimestamp(tail)',
    '',
  ]),
  mutant('split at L: a tail that is not durable', [
    PARTITION,
    'while (!tail.isDurable) await committer.durable(committer.durableCommit + 1)',
    'void committer',
  ]),
  mutant('split at L: a tail that is being sealed', [
    TAILS,
    "tail?.kind === 'records' && !tail.sealing ? tail",
    "tail?.kind === 'records' ? tail",
  ]),

  // ---- hollow boundary
  mutant('hollow boundary: below the pin', [
    RETAINER,
    'return Math.max(pinnedOffset, replicatedOffset)',
    'return Math.max(pinnedOffset - 1, 0 * replicatedOffset)',
  ]),
  mutant('hollow boundary: down to the batch before', ROUNDED_DOWN, [
    RETAINER,
    ' || from < floorOf(partition)) return',
    ') return',
  ]),
  control('control: hollow down to the batch before, the look at the pin left', {}, ROUNDED_DOWN),
  mutant('hollow boundary: one offset more', [
    REWRITE,
    'hollowBatch({ ...range, from }, range.timestamp, codecs)',
    'hollowBatch({ ...range, from, to: range.to + 1 }, range.timestamp, codecs)',
  ]),
  mutant('hollow boundary: one offset further', [
    REWRITE,
    'hollowBatch({ ...range, from }, range.timestamp, codecs)',
    'hollowBatch({ ...range, from: Math.min(from + 1, range.to - 1) }, range.timestamp, codecs)',
  ]),
  mutant('hollow boundary: one offset more in the header', [
    MADE_BATCH,
    'from + count - 1},',
    'from + count},',
  ]),
  mutant('hollow boundary: one offset more is counted', [
    MENDING,
    'for (const range of added) this.#losses.add(range)',
    'for (const range of added) this.#losses.add({ ...range, to: range.to + 1 })',
  ]),
  mutant('hollow boundary: one offset fewer is counted', [
    MENDING,
    'for (const range of added) this.#losses.add(range)',
    'for (const range of added) this.#losses.add({ ...range, from: range.from + 1 })',
  ]),
  mutant('hollow boundary: not counted', [
    MENDING,
    'for (const range of added) this.#losses.add(range)',
    'void added',
  ]),
  mutant('hollow boundary: no intent in the journal', [
    MENDING,
    'state.put(this.#intentKey, Buffer.from(stored))',
    'void stored',
  ]),
  mutant('hollow boundary: the count is not with the intent', [
    MENDING,
    'state.put(this.#lostKey, this.#losses.toBytes())\n    await committer.durable(committer.openCommit)',
    'await committer.durable(committer.openCommit)\n    state.put(this.#lostKey, this.#losses.toBytes())',
  ]),
  mutant('hollow boundary: changed before it is durable', [
    MENDING,
    'await committer.durable(committer.openCommit)',
    'void committer',
  ]),
  mutant('hollow boundary: what is there after all stays counted', [
    MENDING,
    'this.#takeBack(intact)',
    'void intact',
  ]),
  mutant('hollow boundary: an intent is not settled', [MENDING, 'this.#intent.length > 0 ||', '']),
  mutant('hollow boundary: the journal has it again', [
    MENDING,
    'await this.#context.secure(this.#partition, end)',
    'void end',
  ]),
]

export const MUTANTS: readonly Mutant[] = [
  control('control: nothing, no damage'),
  control('control: nothing, damage', { isDamaged: true }),
  control('control: nothing, one partition', { isNarrow: true }),
  ...REQUIRED_MUTANTS,
  ...logMutants,
  ...damageMutants,
]
