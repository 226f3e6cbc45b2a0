// Damages one place of a copy of a made store and says everything that should not be so afterwards:
//
//   verify     names the file; fatal when something acked is hit
//   the agent  starts, serves all else byte for byte and at its offset, names what is lost, serves the
//              same after the next start, and what it has put right verifies
//   repair     leaves a store that verifies and of which nothing else is lost

import { closeSync, cpSync, openSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from '../../agent/log/findings.ts'
import type { Log } from '../../agent/log/log.ts'
import { repairStore } from '../../agent/log/repair.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { kernel } from '../support/batches.ts'
import { LIMITS, type LogLine, type MadeStore, openLog, storeClock } from './made-store.ts'
import { probe } from './probe.ts'
import { type QuickDisk, quickDisk } from './quick-disk.ts'
import { HOLLOW, type Served, servedBy } from './served.ts'
import type { Region, StoreMap } from './store-map.ts'

export type Damage =
  | { kind: 'flip'; file: string; position: number; mask: number }
  /** 512 bytes of zeros, as a sector that was never written. */
  | { kind: 'zeros'; file: string; position: number }
  | { kind: 'cut'; file: string; position: number }
  | { kind: 'gone'; file: string; position: 0 }

export function damageText({ kind, file, position }: Damage): string {
  return `${kind} ${file} at ${position}`
}

/** What is wrong, each a line; empty when everything is as it should be. */
export async function judge(store: MadeStore, map: StoreMap, damage: Damage): Promise<string[]> {
  const copy = `${store.directory}.copy`
  const faults: string[] = []
  const allowed = allowedBy(map, damage)
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work()
    } catch (error) {
      faults.push(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  copyOf(store, copy, damage)
  await attempt('verify', async () => {
    const { findings } = await verifyStore(quickDisk(), copy, { kernel })
    faults.push(...findingFaults(findings, copy, damage, allowed))
  })
  await attempt('the agent', () => agentFaults(copy, store, damage, allowed, faults))
  copyOf(store, copy, damage)
  await attempt('repair', () => repairFaults(copy, store, allowed, faults))
  return faults
}

function allowedBy(map: StoreMap, { kind, file, position }: Damage): Region {
  if (kind === 'flip') return map.at(file, position)
  const whole = map.wholeFile(file)
  if (kind === 'gone') return whole
  const to = kind === 'zeros' ? position + 512 : Number.POSITIVE_INFINITY
  const hit = map.regions.filter(
    (region) => region.file === file && region.from < to && region.to > position,
  )
  return {
    ...whole,
    what: hit.map(({ what }) => what).join(', '),
    only: hit.flatMap(({ only }) => only),
    keys: hit.flatMap(({ keys }) => keys),
    isLive: hit.some(({ isLive }) => isLive),
    isEnd: hit.some(({ isEnd }) => isEnd),
  }
}

function copyOf(store: MadeStore, copy: string, damage: Damage): void {
  rmSync(copy, { recursive: true, force: true })
  cpSync(store.directory, copy, { recursive: true })
  const path = join(copy, damage.file)
  if (damage.kind === 'gone') rmSync(path)
  else if (damage.kind === 'cut') truncateSync(path, damage.position)
  else overwrite(path, damage)
}

function overwrite(path: string, damage: Damage & { kind: 'flip' | 'zeros' }): void {
  const file = openSync(path, 'r+')
  const bytes = Buffer.alloc(damage.kind === 'flip' ? 1 : 512)
  const length = readSync(file, bytes, 0, bytes.length, damage.position)
  if (damage.kind === 'flip') bytes[0]! ^= damage.mask
  else bytes.fill(0)
  writeSync(file, bytes, 0, length, damage.position)
  closeSync(file)
}

function findingFaults(
  findings: readonly Finding[],
  copy: string,
  { kind, file }: Damage,
  { isLive, only, isEnd }: Region,
): string[] {
  const path = `${copy}/${file}`
  // What is not there any more is noticed by what is missing, if anything is.
  if (kind === 'gone' || kind === 'cut') {
    const isTold = findings.some((finding) => finding.fatal) || only.length === 0 || isEnd
    return isTold ? [] : [`verify says nothing fatal: ${textOf(findings)}`]
  }
  const mine = findings.filter((finding) => finding.path === path)
  if (isLive && mine.length === 0) return [`verify does not name the file: ${textOf(findings)}`]
  const mustBeFatal = only.length > 0 && !isEnd
  if (mustBeFatal && !mine.some(({ fatal }) => fatal)) {
    return [`verify says nothing fatal: ${textOf(findings)}`]
  }
  return []
}

const textOf = (findings: readonly Finding[]) =>
  findings.length === 0
    ? 'no findings'
    : findings.map(({ path, what, fatal }) => `${fatal ? 'fatal ' : ''}${path}: ${what}`).join('; ')

async function agentFaults(
  copy: string,
  { served: before }: MadeStore,
  damage: Damage,
  allowed: Region,
  faults: string[],
): Promise<void> {
  const lines: LogLine[] = []
  const fs = quickDisk()
  const first = await started(copy, fs, lines, async (log) => {
    faults.push(...(await probe(log, before, allowed)))
  })
  const told = lines.filter(({ level }) => level === 'error').map(({ message }) => message)
  const lost = compare(before, first, allowed, faults)
  for (const partition of new Set(lost.map(({ partition }) => partition))) {
    if (told.some((line) => line.includes(partition))) continue
    faults.push(`nobody is told what ${partition} has lost: ${told.join('; ') || 'no error line'}`)
  }
  const again = await started(copy, fs, [])
  if (JSON.stringify(textual(again)) !== JSON.stringify(textual(first))) {
    faults.push('the second start serves something else')
  }
  const { findings } = await verifyStore(fs, copy, { kernel })
  // An index is a hint: one that was not asked for what is wrong with it is left as it is.
  const left = findings.filter(({ path, fatal }) => fatal || path !== `${copy}/${damage.file}`)
  if (left.length > 0) faults.push(`after the agent stopped: ${textOf(left)}`)
}

async function repairFaults(
  copy: string,
  { served: before }: MadeStore,
  allowed: Region,
  faults: string[],
): Promise<void> {
  const fs = quickDisk()
  const { after, complaints } = await repairStore({
    fs,
    directory: copy,
    clock: storeClock(),
    kernel,
    log: LIMITS,
  })
  const mine: string[] = []
  if (after.findings.length > 0) {
    mine.push(`findings are left: ${textOf(after.findings)}; ${complaints.join('; ')}`)
  }
  compare(before, await started(copy, fs, []), allowed, mine)
  faults.push(...mine.map((fault) => `repair: ${fault}`))
}

async function started(
  copy: string,
  fs: QuickDisk,
  lines: LogLine[],
  use: (log: Log) => Promise<void> = async () => {},
): Promise<Served> {
  const log = await openLog(copy, fs, lines)
  try {
    await use(log)
    return await servedBy(log)
  } finally {
    await log.close()
  }
}

function textual({ partitions, state }: Served) {
  return { partitions: [...partitions].sort(), state: [...state.keys()].sort() }
}

/** Adds what is not as it was to the faults; returns what is lost, allowed or not. */
function compare(before: Served, after: Served, allowed: Region, faults: string[]) {
  const lost: { partition: string; offset: number }[] = []
  for (const [partition, { start, records }] of before.partitions) {
    const now = after.partitions.get(partition)
    if (now === undefined) {
      faults.push(`${partition} is gone`)
      continue
    }
    if (now.start !== start) faults.push(`${partition} starts at ${now.start} instead of ${start}`)
    const wrong: number[] = []
    records.forEach((record, index) => {
      const offset = start + index
      const served = now.records[offset - now.start]
      if (served === record) return
      // Nothing tells the last frame of the journal from one that a power cut tore.
      const isEndGone = served === undefined && allowed.isEnd
      const mayBeLost = allowed.only.some(
        (range) => range.partition === partition && range.from <= offset && offset < range.to,
      )
      if ((served === HOLLOW || isEndGone) && mayBeLost) {
        if (served === HOLLOW) lost.push({ partition, offset })
        return
      }
      wrong.push(offset)
    })
    const surplus = now.records.length - records.length
    if (surplus > 0) faults.push(`${partition} has ${surplus} records too many`)
    if (wrong.length === 0) continue
    const first = now.records[wrong[0]! - now.start]
    const kind = first === undefined ? 'gone' : first === HOLLOW ? 'hollow' : 'something else'
    faults.push(`${partition}: ${wrong.length} offsets from ${wrong[0]} on are wrong (${kind})`)
  }
  const keys = [...new Set([...before.state.keys(), ...after.state.keys()])]
  const changed = keys.filter(
    (key) =>
      before.state.get(key) !== after.state.get(key) &&
      !allowed.keys.includes(key) &&
      !/^(lost|hollow)\//.test(key),
  )
  if (changed.length > 0)
    faults.push(`state: ${changed.length} keys differ: ${changed.slice(0, 4)}`)
  return lost
}
