// Apache Kafka's jars, by Maven coordinates, kept in a cache folder between runs.
//
//   $TRIBUTARY_CACHE or ~/.cache/tributary
//   └── kafka-4.1.1/
//       ├── libs/*.jar
//       ├── complete.json     name → size of every jar; written last. Without it, or when a size
//       │                     differs, the folder is not believed and fetched anew.
//       └── broker-….jsa      class data archive of the JVM, made by a broker's first clean stop
//
// A download goes to a folder of its own and is renamed into place, so that two test processes
// may do it at once: the second finds the place taken and uses what is there.

import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { findProgram, requirePeer, skipPeer } from './peers.ts'

const KAFKA_VERSION = '4.1.1'
/** [group, artifact, version]; without the log4j binding Kafka 4 says nothing at all. */
const COORDINATES = [
  ['org.apache.kafka', 'kafka_2.13', KAFKA_VERSION],
  ['org.apache.kafka', 'kafka-tools', KAFKA_VERSION],
  ['org.apache.logging.log4j', 'log4j-slf4j-impl', '2.24.3'],
] as const
const DOWNLOAD_LIMIT_MS = 150_000

export function cacheFolder(): string {
  return process.env.TRIBUTARY_CACHE ?? join(homedir(), '.cache', 'tributary')
}

export function kafkaFolder(): string {
  return join(cacheFolder(), `kafka-${KAFKA_VERSION}`)
}

/** The class path of Kafka, fetched when need be; undefined after one line when it cannot be had. */
export async function kafkaJars(): Promise<string | undefined> {
  if (requirePeer('kafka') === undefined) return undefined
  if (!isComplete(kafkaFolder())) {
    const maven = findProgram('mvn')
    if (maven === undefined) return skipPeer('kafka', 'is not in the cache and Maven is missing')
    const problem = await download(maven)
    if (problem !== undefined) return skipPeer('kafka', `could not be fetched: ${problem}`)
  }
  const libs = join(kafkaFolder(), 'libs')
  // Sorted: the class data archive is only good for the same class path in the same order.
  return jarsIn(libs)
    .map((jar) => join(libs, jar))
    .join(delimiter)
}

/** Whether every jar that was once fetched is there with its size. */
export function isComplete(folder: string): boolean {
  try {
    const sizes = JSON.parse(readFileSync(join(folder, 'complete.json'), 'utf8')) as object
    const entries = Object.entries(sizes)
    return (
      entries.length > 0 &&
      entries.every(([jar, size]) => statSync(join(folder, 'libs', jar)).size === size)
    )
  } catch {
    return false
  }
}

/** Writes the marker that makes `isComplete` true. */
export function markComplete(folder: string): void {
  const libs = join(folder, 'libs')
  const sizes = jarsIn(libs).map((jar) => [jar, statSync(join(libs, jar)).size])
  writeFileSync(join(folder, 'complete.json'), JSON.stringify(Object.fromEntries(sizes), null, 1))
}

/** Puts a finished download in the cache's place; what is complete there already stays. */
export function install(fresh: string, place: string): void {
  if (existsSync(place) && !isComplete(place)) {
    const broken = `${place}.broken-${process.pid}`
    renameSync(place, broken)
    rmSync(broken, { recursive: true, force: true })
  }
  try {
    renameSync(fresh, place)
  } catch (error) {
    if (!isComplete(place)) throw error
    rmSync(fresh, { recursive: true, force: true })
  }
}

async function download(maven: string): Promise<string | undefined> {
  mkdirSync(cacheFolder(), { recursive: true })
  const fresh = mkdtempSync(`${kafkaFolder()}.new-`)
  try {
    console.log(`fetching Apache Kafka ${KAFKA_VERSION} (54 MB, once) to ${kafkaFolder()}`)
    const pom = join(fresh, 'pom.xml')
    writeFileSync(pom, pomText())
    const problem = await runMaven(maven, pom, join(fresh, 'libs'))
    if (problem !== undefined) return problem
    rmSync(pom)
    markComplete(fresh)
    install(fresh, kafkaFolder())
    return undefined
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function runMaven(maven: string, pom: string, libs: string): Promise<string | undefined> {
  const goals = ['dependency:copy-dependencies', '-DincludeScope=runtime']
  const args = ['-q', '-B', '-f', pom, ...goals, `-DoutputDirectory=${libs}`]
  const child = spawn(maven, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const timer = setTimeout(() => child.kill('SIGKILL'), DOWNLOAD_LIMIT_MS)
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      const line = output.split('\n').find((text) => text.includes('ERROR'))
      resolve(code === 0 ? undefined : (line ?? `mvn ended with ${code}`))
    })
  })
}

function pomText(): string {
  const dependencies = COORDINATES.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
      `<version>${version}</version></dependency>`,
  )
  return (
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>' +
    '<groupId>tributary</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>' +
    `<dependencies>${dependencies.join('')}</dependencies></project>\n`
  )
}

function jarsIn(libs: string): string[] {
  return readdirSync(libs)
    .filter((name) => name.endsWith('.jar'))
    .sort()
}
