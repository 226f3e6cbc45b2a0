// Loopback ports for tests: free now, and not likely to be taken while a process that owns one is
// being killed and started again.
//
// Ports come from below the ephemeral range (32768 on Linux): an outgoing connection of another
// process can never sit on the port of a broker that is down for a moment.

import { randomInt } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const LOWEST = 15_000
const HIGHEST = 32_000
const given = new Set<number>()

/** `count` different ports on 127.0.0.1 that nobody listens on; never the same twice a process. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = []
  for (let attempt = 0; found.length < count && attempt < 1000; attempt++) {
    const port = randomInt(LOWEST, HIGHEST)
    if (given.has(port) || !(await bindable(port))) continue
    given.add(port)
    found.push(port)
  }
  if (found.length < count) throw new Error(`no ${count} free ports on 127.0.0.1`)
  return found
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!
}

/** Whether something accepts connections there. */
export function portAccepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const end = (accepts: boolean) => {
      socket.destroy()
      resolve(accepts)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}

/** Polls until `condition` holds; throws `what` after `limitMs`. */
export async function waitUntil(
  what: string,
  limitMs: number,
  condition: () => Promise<boolean> | boolean,
  pauseMs = 25,
): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limitMs} ms`)
    await delay(pauseMs)
  }
}

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
