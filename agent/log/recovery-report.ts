// What recovery found damaged, for whoever reads the log: one line for each place, one for what is lost
// with it.

import type { Logger } from '../base/telemetry.ts'
import type { PartitionLog } from './partition-log.ts'
import type { JournalHole, Survey } from './store-survey.ts'

const PARTITIONS_SHOWN_MAX = 16
const STATE = 'QoS 2 packet ids, sessions, producer states and cursors'

export function tellDamage(logger: Logger, survey: Survey): void {
  for (const { path } of survey.badCheckpoints) {
    const name = nameOf(path)
    if (survey.lost !== undefined) logger.error(`${name} does not hold`)
    else logger.warn(`${name} does not hold; the other copy and the journal are used`)
  }
  for (const { path, isHeaderLost, frames } of survey.journals) {
    if (!isHeaderLost) continue
    logger.error(`${nameOf(path)}: its header is damaged; ${frames} frames were read from it`)
  }
  for (const hole of survey.holes) logger.error(holeText(hole, survey))
  if (survey.isJournalGone) logger.warn(goneText(survey))
}

/** Whether anything was acked behind a clean stop nobody knows. */
export function goneText({ checkpoint }: Pick<Survey, 'checkpoint'>): string {
  const { time = 0 } = checkpoint?.content ?? {}
  const since = new Date(time).toISOString()
  return (
    `no journal file is left from the clean stop at ${since}, which needs none: if the log was used ` +
    'after it, what was acked then is lost; check the disk, unless somebody removed the files'
  )
}

export function tellHistory(
  logger: Logger,
  { checkpoint, holes, journals, lost: history }: Survey,
  partitions: Iterable<PartitionLog>,
): void {
  if (history === 'checkpoints') {
    const frames = journals.reduce((sum, journal) => sum + journal.frames, 0)
    const sources = `the segments, partition.metadata and ${frames} journal frames`
    const lost = `${STATE} that are not in these frames are lost`
    logger.error(`both checkpoints are gone: the log is rebuilt from ${sources}; ${lost}`)
    return
  }
  const since =
    checkpoint === undefined ? '' : ` since ${new Date(checkpoint.content.time).toISOString()}`
  const state = `${STATE} may be older than they were`
  if (holes.every(({ to }) => to !== undefined)) {
    logger.error(`what the missing journal frames said${since} is not known: ${state}`)
    return
  }
  const ends: string[] = []
  let more = 0
  for (const { name, logEndOffset } of partitions) {
    if (ends.length < PARTITIONS_SHOWN_MAX) ends.push(`${name} ends at offset ${logEndOffset}`)
    else more++
  }
  if (more > 0) ends.push(`and ${more} more`)
  const records = `records behind these offsets may be gone (${ends.join(', ')})`
  logger.error(`what was acked${since} is known as far as segments tell: ${records}; ${state}`)
}

function holeText({ from, to, file, position }: JournalHole, { checkpoint }: Survey): string {
  if (file !== undefined) {
    return `${nameOf(file)} is damaged at byte ${position}: frames ${from} to ${to} are lost`
  }
  if (to !== undefined) return `journal frames ${from} to ${to} are gone: a file of it is missing`
  const generation = checkpoint?.content.generation
  return `journal generation ${generation}, which the checkpoint needs, is gone`
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
