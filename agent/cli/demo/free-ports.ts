// Loopback ports that a process can own, lose by kill -9 and own again.
//
// They come from below the range that systems hand out to outgoing connections (32768 on Linux):
// while the owner is away, a client that knocks can neither sit on the port nor reach itself.

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { AgentError } from '../../base/errors.ts'

const LOWEST = 15_000
const HIGHEST = 32_000
const ATTEMPTS_MAX = 1_000

/** `count` different ports on 127.0.0.1 that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let attempt = 0; found.size < count && attempt < ATTEMPTS_MAX; attempt++) {
    const port = randomInt(LOWEST, HIGHEST)
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  if (found.size === count) return [...found]
  throw new AgentError('LISTENER_IN_USE', `no ${count} free ports on 127.0.0.1`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
