// Other people's programs that the slow tests want. A missing one is said in one line; with
// TRIBUTARY_REQUIRE_PEERS=1 (continuous integration) it is a failure.

import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export type Peer =
  | 'kafka'
  | 'java'
  | 'kcat'
  | 'mosquitto'
  | 'mosquitto_pub'
  | 'lz4'
  | 'zstd'
  | 'python3'

/** Debian puts daemons where a user's PATH does not look. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

const INSTALL: Record<Peer, string> = {
  kafka: 'apt-get install openjdk-17-jre-headless maven',
  java: 'apt-get install openjdk-17-jre-headless',
  kcat: 'apt-get install kcat',
  mosquitto: 'apt-get install mosquitto',
  mosquitto_pub: 'apt-get install mosquitto-clients',
  lz4: 'apt-get install lz4',
  zstd: 'apt-get install zstd',
  python3: 'apt-get install python3',
}

const said = new Set<Peer>()

/**
 * The path of the peer's program (for `kafka`: of java, when jars or Maven are there too), or
 * undefined after one line `skipped: …`.
 */
export function requirePeer(peer: Peer): string | undefined {
  if (peer === 'kafka') {
    const java = javaProgram()
    if (java === undefined) return skipPeer('kafka', 'needs Java 17 or newer')
    return java
  }
  const program = peer === 'java' ? javaProgram() : findProgram(peer)
  return program ?? skipPeer(peer, 'is not installed')
}

/** Says why a peer is not used, once a process; throws where peers are required. */
export function skipPeer(peer: Peer, reason: string): undefined {
  const line = `${peer} ${reason} (${INSTALL[peer]})`
  if (process.env.TRIBUTARY_REQUIRE_PEERS === '1') throw new Error(line)
  if (!said.has(peer)) console.log(`skipped: ${line}`)
  said.add(peer)
  return undefined
}

/** The full path of a program, looked for as a shell would and in the system folders. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS]
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function javaProgram(): string | undefined {
  const home = process.env.JAVA_HOME
  const inHome = home === undefined ? undefined : join(home, 'bin', 'java')
  const program = inHome !== undefined && isExecutable(inHome) ? inHome : findProgram('java')
  if (program === undefined) return undefined
  const { stderr } = spawnSync(program, ['-version'], { encoding: 'utf8' })
  const major = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  return major >= 17 ? program : undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
