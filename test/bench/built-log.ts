// The built log in this process (what is shipped, without the loader that the benches run under), and
// the records that they put into it.

import type { FileSystem } from '../../agent/log/file-system.ts'

const { Log } = await built<typeof import('../../agent/log/log.ts')>('log/log')
const { systemClock } = await built<typeof import('../../agent/base/clock.ts')>('base/clock')
const { Metrics, silentLogger } =
  await built<typeof import('../../agent/base/telemetry.ts')>('base/telemetry')

export const { verifyStore } = await built<typeof import('../../agent/log/verify.ts')>('log/verify')
export const { nodeFileSystem } =
  await built<typeof import('../../agent/log/file-system.ts')>('log/file-system')

export type BuiltLog = Awaited<ReturnType<typeof openLog>>

export function openLog(directory: string, fs: FileSystem = nodeFileSystem) {
  const parts = { clock: systemClock, logger: silentLogger, metrics: new Metrics() }
  return Log.open({ directory, fs, ...parts, commitIntervalMs: 0, retains: false })
}

/** JSON of 128 bytes. */
export function reading(order: number): Buffer {
  const noise = Math.imul(order, 2_654_435_761) >>> 0
  const digits = (value: number) => String(value % 10_000).padStart(4, '0')
  const device = `dev${digits(order % 200)}`
  const text = `{"device":"${device}","seq":${10_000_000 + order},"temperature":21.${digits(noise)},"humidity":48.${digits(Math.floor(noise / 10_000))},"unit":"`
  return Buffer.from(`${(text + 'celsius,percent,'.repeat(8)).slice(0, 126)}"}`)
}

export function roomAgain(log: BuiltLog): Promise<void> {
  return new Promise((resolve) => {
    const stop = log.onRoom(() => {
      stop()
      resolve()
    })
  })
}

function built<T>(path: string): Promise<T> {
  return import(new URL(`../../dist/agent/${path}.js`, import.meta.url).href) as Promise<T>
}
