// A TCP relay that cuts a connection in the middle of what the client sends: the server has the first
// part, or all of it, and the client never hears of it.

import { connect, createServer, type Server, type Socket } from 'node:net'

/** Forwarded before a cut, of the bytes that arrive after `cut` was called. */
const CUT_AFTER_MAX = 200_000

export class CutProxy {
  cuts = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #random: () => number
  /** Bytes from the client that still pass; undefined: no cut is due. */
  #left: number | undefined

  private constructor(server: Server, random: () => number) {
    this.#server = server
    this.#random = random
  }

  static async listen(port: number, target: number, random: () => number): Promise<CutProxy> {
    const server = createServer()
    const proxy = new CutProxy(server, random)
    server.on('connection', (client) => proxy.#relay(client, target))
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return proxy
  }

  /** The next large request is cut at some byte; every connection ends with it. */
  cut(): void {
    this.#left = Math.floor(this.#random() * CUT_AFTER_MAX)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #relay(client: Socket, target: number): void {
    const server = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    server.on('data', (chunk) => void client.write(chunk))
    client.on('data', (chunk: Buffer) => {
      if (this.#left === undefined) {
        server.write(chunk)
        return
      }
      if (chunk.length < this.#left) {
        this.#left -= chunk.length
        server.write(chunk)
        return
      }
      // The part before the cut gets there: the server's side is closed with a FIN.
      server.end(chunk.subarray(0, this.#left))
      this.#left = undefined
      this.cuts++
      for (const socket of this.#sockets) if (socket !== server) socket.destroy()
    })
  }
}
