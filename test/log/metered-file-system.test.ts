import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { nodeFileSystem } from '../../agent/log/file-system.ts'
import type { Log } from '../../agent/log/log.ts'
import { FILE_KINDS, MeteredFileSystem } from '../../agent/log/metered-file-system.ts'
import { INGRESS } from '../../wasm/assembly/limits.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { kernel } from '../support/batches.ts'
import { fileSystemConformance } from '../support/file-system-conformance.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('metered file system')

fileSystemConformance(test, 'metered', async () => {
  const fileSystem = new MeteredFileSystem(new SimFileSystem(1))
  await fileSystem.makeDirectory('/case')
  return { fileSystem, directory: '/case' }
})

/** What a log has handed to its disk, by kind of file. */
function figures(log: Log): Record<string, readonly [bytes: number, syncs: number]> {
  const entries = FILE_KINDS.map((kind) => {
    const { writtenBytes, syncs } = log.meter.of(kind)
    return [kind, [writtenBytes, syncs]] as const
  })
  return Object.fromEntries(entries)
}

test('bytes and syncs go to the kind of their file; a durable write is a sync', async () => {
  const fs = new MeteredFileSystem(new SimFileSystem(2))
  await fs.makeDirectory('/s/t-0')
  const put = async (path: string, bytes: number, durable: boolean) => {
    const file = await fs.open(path, 'create', { durable })
    await file.write([Buffer.alloc(bytes), Buffer.alloc(1)], 0)
    await file.sync()
    await file.close()
  }
  await put('/s/journal-1', 9, true)
  await put('/s/checkpoint-0', 19, false)
  await put('/s/t-0/00000000000000000000.log', 29, false)
  await put('/s/t-0/00000000000000000000.log.rewrite', 29, false)
  await put('/s/t-0/00000000000000000000.timeindex', 39, false)
  await put('/s/lock', 49, false)
  await fs.syncDirectory('/s')
  const of = (kind: (typeof FILE_KINDS)[number]) => ({ ...fs.of(kind) })
  assert.equal(of('journal'), { writtenBytes: 10, syncs: 2 })
  assert.equal(of('checkpoint'), { writtenBytes: 20, syncs: 1 })
  assert.equal(of('segment'), { writtenBytes: 60, syncs: 2 })
  assert.equal(of('index'), { writtenBytes: 40, syncs: 1 })
  assert.equal(of('other'), { writtenBytes: 50, syncs: 2 })
  assert.is(fs.writtenBytes, 180)
  assert.is(fs.syncs, 8)
})

test('a log that has nothing to do writes nothing and syncs nothing for a day', async () => {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const log = await openSmallLog(new SimFileSystem(3), { clock, commitIntervalMs: 'auto' })
  const topic = await log.createTopic('t', { partitions: 2, replicated: false })
  topic.partitions[0]!.appendRecord({ timestamp: 0, key: null, value: Buffer.from('one') })
  await log.durable(log.openCommit)
  const before = figures(log)
  for (let minute = 0; minute < 24 * 60; minute++) {
    clock.advance(60_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(figures(log), before)
  await log.close()
})

/** The 128 bytes that a sensor sends. */
function reading(order: number): Buffer {
  const start = `{"device":"dev0001","seq":${10_000_000 + order},"temperature":21.${1000 + ((order * 977) % 9000)},"unit":"`
  return Buffer.from(`${start}${'celsius,percent,'.repeat(5)}`.slice(0, 126).concat('"}'))
}

test('a message a second for a day: one sync each, 40 bytes for each of the payload at most', async () => {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const log = await openSmallLog(new SimFileSystem(4), {
    clock,
    commitIntervalMs: 'auto',
    journalBytes: 16 * 1024 * 1024,
    batchBytes: 256 * 1024,
    segmentBytes: 16 * 1024 * 1024,
    carryTailBytes: 16 * 1024,
  })
  const topic = await log.createTopic('t', { partitions: 1, replicated: false })
  const partition = topic.partitions[0]!
  const before = figures(log)
  const messages = 24 * 3600
  for (let order = 0; order < messages; order++) {
    clock.advance(1000)
    partition.appendRecord({ timestamp: clock.now(), key: null, value: reading(order) })
    await log.durable(log.openCommit)
  }
  await log.close()
  const after = figures(log)
  const grown = (kind: string, slot: 0 | 1) => after[kind]![slot] - before[kind]![slot]
  const total = (slot: 0 | 1) => FILE_KINDS.reduce((sum, kind) => sum + grown(kind, slot), 0)
  const payload = messages * 128
  // A commit is a frame of one sector; the device makes a page of it where it must.
  assert.ok(total(0) <= 40 * payload, `${total(0) / payload} bytes a byte`)
  assert.ok(grown('journal', 1) >= messages)
  assert.ok(total(1) <= messages * 1.01, `${total(1)} syncs`)
  // What is not data: a thousandth of it, a handful of times.
  assert.ok(grown('index', 0) + grown('checkpoint', 0) < payload / 100)
  assert.ok(grown('index', 1) + grown('checkpoint', 1) < 24)
})

test('counts the bytes that the kernel counts for the process', async () => {
  // What this process caused to be sent to the device; direct writes are in it byte for byte.
  const ofKernel = () => {
    try {
      const io = readFileSync('/proc/self/io', 'utf8')
      return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? Number.NaN)
    } catch {
      return Number.NaN
    }
  }
  if (Number.isNaN(ofKernel())) {
    console.log('skipped: /proc/self/io is not readable')
    return
  }
  const directory = mkdtempSync(join(tmpdir(), 'tributary-metered-'))
  const fs = new MeteredFileSystem(nodeFileSystem)
  const path = join(directory, 'journal-0')
  const file = await fs.open(path, 'create')
  await file.write([Buffer.alloc(1 << 20)], 0)
  await file.sync()
  await file.close()
  const direct = await fs.open(path, 'write', { durable: true, direct: true })
  const [ours, theirs] = [fs.of('journal').writtenBytes, ofKernel()]
  for (let order = 0; order < 200; order++) {
    const size = 512 * (1 + (order % 8))
    await direct.write([kernel.u8.subarray(INGRESS, INGRESS + size)], order * 4096)
  }
  const counted = fs.of('journal').writtenBytes - ours
  const charged = ofKernel() - theirs
  await direct.close()
  rmSync(directory, { recursive: true })
  if (charged === 0) return console.log('skipped: this disk is no device that the kernel counts')
  if (charged >= 200 * 4096) return console.log('skipped: this disk takes whole pages only')
  assert.is(charged, counted)
})

test.run()
