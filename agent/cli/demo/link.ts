// The line between gateway and cloud: a TCP proxy that can be cut and mended.
//
// Cut means cut: every connection is destroyed with whatever was on its way, and new ones are
// refused by the system, as nobody listens any more.

import { createServer, connect as dial, type Server, type Socket } from 'node:net'

export class Link {
  readonly port: number
  readonly #targetPort: number
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  private constructor(port: number, targetPort: number) {
    this.port = port
    this.#targetPort = targetPort
  }

  /** Both ends on 127.0.0.1; takes connections when it resolves. */
  static async open(port: number, targetPort: number): Promise<Link> {
    const link = new Link(port, targetPort)
    await link.mend()
    return link
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  mend(): Promise<void> {
    if (this.#server !== undefined) return Promise.resolve()
    const server = createServer((near) => this.#join(near))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', resolve)
    })
  }

  /** Nothing goes through and nobody gets in when it resolves. */
  async cut(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #join(near: Socket): void {
    const far = dial(this.#targetPort, '127.0.0.1')
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      // An end that fails ends both; why is of no interest to a cable.
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far).pipe(near)
  }
}
