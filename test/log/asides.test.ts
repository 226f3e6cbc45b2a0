// A disk that refuses whole directories and files at a start: for some seconds, or for good.

import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { contents } from '../support/recovered-log.ts'
import { SickDisk } from '../support/sick-disk.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('asides')
const KINDS = ['list', 'open'] as const
type Kind = (typeof KINDS)[number]

/** Two partitions that were stopped, with all they have in segments. */
async function stopped(): Promise<SickDisk> {
  const disk = new SickDisk()
  for (const partition of await disk.create(2)) {
    assert.is(await disk.append(partition, 200), 200)
    await disk.until(partition.seal())
  }
  await disk.until(disk.log.close())
  return disk
}

/** The disk refuses these partitions, until some time has passed. */
function refuse(disk: SickDisk, kind: Kind, partitions: string, seconds = Infinity): void {
  const end = disk.clock.monotonic() + seconds * 1000
  const victim = new RegExp(`/t-[${partitions}]${kind === 'list' ? '' : '/\\d+\\.log'}$`)
  disk.refusal = ({ operation, path }) =>
    operation === kind && victim.test(path) && disk.clock.monotonic() < end
}

const asidesOf = ({ fs }: SickDisk) => fs.paths().filter((path) => path.includes('.unreadable'))

async function checkWhole(disk: SickDisk): Promise<void> {
  for (const partition of disk.partitions()) {
    assert.is(partition.losses.total, 0)
    assert.is((await disk.until(contents(partition))).length, 200)
  }
  assert.equal(asidesOf(disk), [])
}

for (const kind of KINDS) {
  test(`a disk that refuses to ${kind} for three seconds costs nothing`, async () => {
    const disk = await stopped()
    refuse(disk, kind, '01', 3)
    await disk.start()
    await checkWhole(disk)
  })

  test(`a disk that refuses to ${kind} one partition for good costs that one`, async () => {
    const disk = await stopped()
    refuse(disk, kind, '0')
    await disk.start()
    const [sick, well] = disk.partitions()
    assert.equal([sick!.losses.total, well!.losses.total], [200, 0])
    const aside = new RegExp(kind === 'list' ? '/t-0\\.unreadable/' : '\\.log\\.unreadable$')
    assert.ok(asidesOf(disk).some((path) => aside.test(path)))
    assert.is(await disk.append(sick!, 10), 10)
  })

  test(`a disk that refuses to ${kind} two partitions ends the start, and nothing changes`, async () => {
    const disk = await stopped()
    refuse(disk, kind, '01')
    const error = await disk.start().catch((fault) => fault)
    assert.is(codeOf(error), 'STORAGE_IO')
    assert.match(error.message, `refuses to give ${STORE}/t-0 and ${STORE}/t-1`)
    assert.match(error.message, 'check the disk')
    disk.refusal = () => false
    await disk.start()
    await checkWhole(disk)
  })
}

test('files in the place of directories are no refusal', async () => {
  const disk = await stopped()
  for (const partition of [0, 1]) {
    await disk.fs.rename(`${STORE}/t-${partition}`, `${STORE}/moved-${partition}`)
    await (await disk.fs.open(`${STORE}/t-${partition}`, 'create')).close()
  }
  await disk.start()
  assert.equal(asidesOf(disk), [`${STORE}/t-0.unreadable`, `${STORE}/t-1.unreadable`])
})

test.run()
