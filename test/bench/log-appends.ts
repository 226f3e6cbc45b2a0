// Appends records to Tributary's log in a process of its own, as sqlite-log.py does to SQLite.
//
//   node --import tsx log-appends.ts FOLDER MESSAGES GROUP
//
// Prints one line of JSON: seconds, CPU seconds, commits.

import { systemClock } from '../../agent/base/clock.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'

const [folder, messages, group] = [
  process.argv[2]!,
  Number(process.argv[3]),
  Number(process.argv[4]),
]
const log = await Log.open({
  directory: folder,
  clock: systemClock,
  logger: silentLogger,
  metrics: new Metrics(),
  commitIntervalMs: 0,
})
const [partition] = log.ensureTopic('log', { partitions: 1, replicated: false }).partitions
await log.durable(log.openCommit - 1)

const values = Array.from({ length: 20_000 }, (_, order) => reading(order))
const keys = Array.from({ length: 200 }, (_, order) =>
  Buffer.from(`sensors/dev${String(order).padStart(4, '0')}/climate`),
)
const commitsBefore = log.durableCommit
const before = process.cpuUsage()
const start = performance.now()
for (let first = 0; first < messages; first += group) {
  const timestamp = Date.now()
  const end = Math.min(first + group, messages)
  for (let order = first; order < end; order++) {
    const record = { timestamp, key: keys[order % 200]!, value: values[order % 20_000]! }
    while (partition!.appendRecord(record) < 0) await roomAgain()
  }
  await log.durable(log.openCommit)
}
const seconds = (performance.now() - start) / 1000
const { user, system } = process.cpuUsage(before)
const commits = log.durableCommit - commitsBefore
await log.close()
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, commits }))

function reading(order: number): Buffer {
  const noise = Math.imul(order, 2_654_435_761) >>> 0
  const digits = (value: number) => String(value % 10_000).padStart(4, '0')
  const device = `dev${digits(order % 200)}`
  const text = `{"device":"${device}","seq":${10_000_000 + order},"temperature":21.${digits(noise)},"humidity":48.${digits(Math.floor(noise / 10_000))},"unit":"`
  return Buffer.from(`${(text + 'celsius,percent,'.repeat(8)).slice(0, 126)}"}`)
}

function roomAgain(): Promise<void> {
  return new Promise((resolve) => {
    const stop = log.onRoom(() => {
      stop()
      resolve()
    })
  })
}
