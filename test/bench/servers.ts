// The MQTT servers that a bench compares, each in a process of its own on a free port and with a
// fresh folder: mosquitto as Debian ships it (acks from memory), aedes with a naive shared
// fdatasync, the built Tributary, and the bare acks that bound what the loader can drive.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AgentConfig, AgentProcess } from '../support/agent-process.ts'
import { requirePeer } from '../support/peers.ts'
import { freePort, portAccepts, waitUntil } from '../support/ports.ts'

export type ServerName = 'mosquitto' | 'naive' | 'tributary' | 'bare'

export interface RunningServer {
  port: number
  pid: number
  /** Kills the process and deletes its folder. */
  remove: () => Promise<void>
}

/** What the bench's Tributary is told; everything else is as it comes. */
export const BENCH_CONFIG: AgentConfig = {
  gateway: 'bench',
  routes: [{ mqttTopic: 'sensors/{device}/{metric}', topic: 'sensors', key: '{device}' }],
  logging: { level: 'warn' },
}

const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Starts a server and waits until it accepts; undefined when the peer is not installed. */
export async function startServer(
  name: ServerName,
  config: AgentConfig = {},
): Promise<RunningServer | undefined> {
  if (name === 'tributary') return startTributary(config)
  const folder = mkdtempSync(join(tmpdir(), `tributary-bench-${name}-`))
  const port = await freePort()
  const command = name === 'mosquitto' ? mosquitto(folder, port) : script(name, folder, port)
  if (command === undefined) return undefined
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr?.on('data', (text) => (stderr = `${stderr}${text}`.slice(-2000)))
  alive.add(child)
  const ended = new Promise<void>((resolve) => {
    child.on('close', () => {
      alive.delete(child)
      resolve()
    })
  })
  await waitUntil(`${name} accepts`, 10_000, () => {
    if (!alive.has(child)) throw new Error(`${name} ended: ${stderr}`)
    return portAccepts(port)
  })
  const remove = async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  return { port, pid: child.pid!, remove }
}

async function startTributary(config: AgentConfig): Promise<RunningServer> {
  const agent = await AgentProcess.create({ ...BENCH_CONFIG, ...config })
  await agent.start()
  return { port: agent.mqttPort, pid: agent.pid!, remove: () => agent.remove() }
}

function mosquitto(folder: string, port: number): string[] | undefined {
  const program = requirePeer('mosquitto')
  if (program === undefined) return undefined
  const file = join(folder, 'mosquitto.conf')
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\n`)
  return [program, '-c', file]
}

function script(name: 'naive' | 'bare', folder: string, port: number): string[] {
  const file = name === 'naive' ? 'naive-aedes.ts' : 'bare-acks.ts'
  const path = join(import.meta.dirname, file)
  return [process.execPath, '--import', 'tsx', path, String(port), join(folder, 'messages')]
}
