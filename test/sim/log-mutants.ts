// What else the log promises where nothing rots: commits, tails, recovery, retention and deletion.

import {
  CHECKPOINTER,
  COMMITTER,
  control,
  JOURNAL,
  type Mutant,
  mutant,
  READER,
  REPLAY,
  RETAINER,
  SEGMENT_RECOVERY,
  SEGMENTS,
  SURVEY,
  TAILS,
} from './mutant.ts'

export const logMutants: readonly Mutant[] = [
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
  mutant('commit: held ids are in the one behind their records', [
    COMMITTER,
    'const state = this.#state\n    const partitions = this.#dirty\n    this.#state = []',
    'const state = this.#state.filter(([key]) => !key.startsWith("held/"))\n    const partitions = this.#dirty\n    this.#state = this.#state.filter(([key]) => key.startsWith("held/"))',
  ]),
  mutant('journal: frames share a sector', [
    JOURNAL,
    'const size = sectors(FRAME_HEADER_BYTES + stored)',
    'const size = FRAME_HEADER_BYTES + stored + 0 * sectors(stored)',
  ]),

  // ---- a new generation
  mutant('carry: small tails stay in the old generation', [
    CHECKPOINTER,
    'tail.carry()\n        committer.carry(partition)',
    'tail.carry()',
  ]),
  mutant('carry: only what is new of a tail', [
    CHECKPOINTER,
    'tail.carry()\n        committer',
    'committer',
  ]),

  // ---- recovery
  mutant('recovery: journal frames without their CRC', [
    READER,
    'kernel.crc32c(SCRATCH, end - position - 8) !== crc',
    'false',
  ]),
  mutant('recovery: segments without their CRCs', [
    SEGMENT_RECOVERY,
    'const range = { from: position, to: size, offset: nextOffset, codecs }',
    'const range = { from: position, to: size, offset: nextOffset }\nvoid codecs',
  ]),
  mutant('recovery: segments behind a cut stay', [
    SEGMENTS,
    'await this.#removeFiles(bases.slice(index))',
    '',
  ]),
  mutant('recovery: goes on behind half a commit', [
    REPLAY,
    'if (isDamaged || this.#commit.isOpen) this.resume',
    'if (isDamaged) this.resume',
  ]),
  mutant('recovery: journals in no order', [
    SURVEY,
    'known.sort((a, b) => a.header.generation - b.header.generation)',
    '',
  ]),
  mutant('recovery: the recovery offset is one too high', [
    SEGMENTS,
    'return { recoveryOffset: Math.max(this.end, this.#recoveryOffset), segments }',
    'return { recoveryOffset: Math.max(this.end, this.#recoveryOffset) + 1, segments }',
  ]),
  mutant('recovery: a topic that is long gone is taken for the one that is there', [
    'agent/log/topic.ts',
    'return !marks.has(first) && [...marks.keys()].some((logId) => logId > first)',
    'return first < 0',
  ]),
  mutant('recovery: what the journal deletes and makes again loses its files', [
    'agent/log/topic-set.ts',
    'const topic = known?.id === record.id ? known : new Topic(name, record.id, record.settings)',
    'if (known !== undefined) await this.#discard(known)\n    const topic = new Topic(name, record.id, record.settings)',
  ]),

  // ---- segments
  mutant('seal: a tail that is not durable', [
    TAILS,
    'oldest?.frozen === true && oldest.holders === 0 && oldest.isDurable',
    'oldest?.frozen === true && oldest.holders === 0',
  ]),

  // ---- retention and deletion
  mutant('retention: past what is replicated', [
    'agent/log/retention.ts',
    'return offset <= replicatedOffset && now - (ackedTime(offset) ?? now) >= healWindowMs',
    'return offset >= 0 && replicatedOffset >= 0 && now >= healWindowMs && ackedTime !== undefined',
  ]),
  control('control: retention past what is replicated, the look at when it was acked left', {}, [
    'agent/log/retention.ts',
    'return offset <= replicatedOffset && now',
    'return offset >= 0 && now',
  ]),
  mutant('retention: files go before the start is durable', [
    RETAINER,
    'await committer.durable(Math.max(0, ...commits))',
    'void commits',
  ]),
  mutant('retention: room is made of what is not replicated', [
    RETAINER,
    '({ nextOffset }) => nextOffset <= replicatedOffset',
    '({ nextOffset }) => nextOffset > 0 || replicatedOffset > 0',
  ]),
  mutant('deletion: files go before it is durable', [
    'agent/log/topic-set.ts',
    'await this.#committer.durable(this.#committer.openCommit)',
    '',
  ]),
]
