// What `tributary verify` found, for people and as JSON.
//
// The keys of the JSON are stable: ok, findings, losses, totals; `done` after a repair.

import type { Finding, KnownLoss } from '../log/findings.ts'
import { lossText } from '../log/repair.ts'
import type { VerifyResult } from '../log/verify.ts'
import { type Output, printLine } from './command.ts'
import { formatCount, sizeUnit } from './table.ts'

export async function printFindings(
  stdout: Output,
  {
    findings,
    losses,
  }: { findings: readonly Omit<Finding, 'kind'>[]; losses: readonly KnownLoss[] },
): Promise<void> {
  for (const loss of losses) {
    await printLine(stdout, `known ${lossText(loss)}, served as empty records`)
  }
  for (const { path, position, what, fatal, repairable } of findings) {
    const place = position === 0 ? path : `${path} at byte ${position}`
    const mark = fatal ? 'LOST ' : repairable ? 'wrong' : 'note '
    await printLine(stdout, `${mark} ${place}: ${what}`)
  }
}

/** The last line: what it all comes to. */
export function summary(directory: string, { findings, totals }: VerifyResult): string {
  const empty =
    totals.hollowRecords === 0 ? '' : `, ${formatCount(totals.hollowRecords)} of them empty`
  const counts = [
    counted(totals.partitions, 'partition'),
    counted(totals.segments, 'segment'),
    counted(totals.batches, 'batch', 'batches'),
    counted(totals.records, 'record') + empty,
    sizeText(totals.segmentBytes),
    counted(totals.journalFrames, 'journal frame'),
  ]
  if (totals.quarantineFiles > 0) {
    counts.push(`${sizeText(totals.quarantineBytes)} in quarantine`)
  }
  return `${directory}: ${verdict(findings, totals.unlistedFindings)} (${counts.join(', ')})`
}

function verdict(findings: readonly Finding[], unlisted: number): string {
  const lost = findings.filter(({ fatal }) => fatal).length
  const wrong = findings.filter(({ fatal, repairable }) => !fatal && repairable).length
  const more = unlisted === 0 ? '' : `, ${formatCount(unlisted)} more not listed`
  if (lost > 0) {
    const some = findings.some(({ fatal, repairable }) => fatal && repairable)
    const way = some ? '; --repair puts empty records in their place' : ''
    return `${counted(lost, 'finding')} of lost data${more}${way}`
  }
  if (wrong === 0) return `good${more}`
  return `good; nothing is lost, the next start or --repair puts ${counted(wrong, 'thing')} right${more}`
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

export function sizeText(bytes: number): string {
  const [unit, size] = sizeUnit(bytes)
  return `${size === 1 ? bytes : (bytes / size).toFixed(1)} ${unit}`
}
