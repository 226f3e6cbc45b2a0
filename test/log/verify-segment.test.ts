import * as assert from 'uvu/assert'
import type { FileSystem } from '../../agent/log/file-system.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { BATCH } from '../../agent/record/record-batch.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { kernel } from '../support/batches.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('verify segment')
const verify = (fs: FileSystem) => verifyStore(fs, STORE, { kernel })

test('a segment of several windows is checked to its end, whatever lies over their borders', async () => {
  const fs = new SimFileSystem(4)
  const sizes = { journalBytes: 8 << 20, batchBytes: 256 * 1024, segmentBytes: 16 << 20 }
  const log = await openSmallLog(fs, { kernel: new Kernel(), ...sizes })
  const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
  const [partition] = topic.partitions
  const random = new SeededRandom(9)
  for (let count = 0; count < 400; count++) {
    const record = { timestamp: 1, key: null, value: random.bytes(1 + random.below(30_000)) }
    while (partition!.appendRecord(record) < 0) await log.durable(log.openCommit)
    if (random.chance(0.1)) await log.durable(log.openCommit)
  }
  await log.close()
  const path = fs.paths().find((name) => name.endsWith('.log'))!
  const bytes = fs.contents(path)
  assert.ok(bytes.length > 3 << 20, `${bytes.length} bytes`)
  assert.equal((await verify(fs)).findings, [])
  const batches: number[] = []
  for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + BATCH.length))
    batches.push(at)
  for (const start of batches) {
    const damaged = fs.clone(5)
    damaged.rot(path, start + 100)
    const [finding, ...others] = (await verify(damaged)).findings.filter(({ fatal }) => fatal)
    assert.equal([finding?.position, others], [start, []])
  }
  const spoiled = fs.clone(6)
  spoiled.spoil(path, batches.at(-2)! + 1000)
  const [finding] = (await verify(spoiled)).findings.filter(({ fatal }) => fatal)
  assert.is(finding?.position, batches.at(-2))
})

test.run()
