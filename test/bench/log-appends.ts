// Appends records to Tributary's log in a process of its own, as sqlite-log.py does to SQLite.
//
//   node --import tsx log-appends.ts FOLDER MESSAGES GROUP
//
// Before that into another store that counts for nothing: machine code is made while it runs, and an
// agent runs for months. Prints one line of JSON: seconds, CPU seconds, commits.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLog, reading, roomAgain } from './built-log.ts'

const WARM_UP_COMMITS = 2000
const [folder, messages, group] = [
  process.argv[2]!,
  Number(process.argv[3]),
  Number(process.argv[4]),
]
const values = Array.from({ length: 20_000 }, (_, order) => reading(order))
const keys = Array.from({ length: 200 }, (_, order) =>
  Buffer.from(`sensors/dev${String(order).padStart(4, '0')}/climate`),
)

const elsewhere = mkdtempSync(join(tmpdir(), 'tributary-warm-up-'))
await append(elsewhere, WARM_UP_COMMITS, 1)
rmSync(elsewhere, { recursive: true })
console.log(JSON.stringify(await append(folder, messages, group)))

async function append(folder: string, messages: number, group: number) {
  const log = await openLog(folder)
  const [partition] = log.ensureTopic('log', { partitions: 1, replicated: false }).partitions
  await log.durable(log.openCommit - 1)
  const commitsBefore = log.durableCommit
  const before = process.cpuUsage()
  const start = performance.now()
  for (let first = 0; first < messages; first += group) {
    const timestamp = Date.now()
    const end = Math.min(first + group, messages)
    for (let order = first; order < end; order++) {
      const record = { timestamp, key: keys[order % 200]!, value: values[order % 20_000]! }
      while (partition!.appendRecord(record) < 0) await roomAgain(log)
    }
    await log.durable(log.openCommit)
  }
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(before)
  const commits = log.durableCommit - commitsBefore
  await log.close()
  return { seconds, cpuSeconds: (user + system) / 1e6, commits }
}
