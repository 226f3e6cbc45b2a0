// A broker of a few lines, on the same schema, for what a real one cannot be made to do: to answer
// late, in pieces, out of order, with rubbish, or not at all.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { encodeResponse, readRequestHeader } from '../../../agent/kafka/protocol/frame.ts'
import { FrameAssembler } from '../../../agent/kafka/protocol/frame-assembler.ts'
import * as apiVersions from '../../../agent/kafka/protocol/messages/18-api-versions.ts'
import type { Message } from '../../../agent/kafka/protocol/schema.ts'
import { Reader } from '../../../agent/kafka/protocol/wire.ts'

interface ServedApi<RequestOut, ResponseIn> {
  apiKey: number
  versions: readonly [number, number]
  request: Message<RequestOut, never>
  response: Message<unknown, ResponseIn>
}

export interface Asked {
  apiKey: number
  version: number
  correlationId: number
  socket: Socket
}

/** Undefined: no answer. */
type Answer<T> = T | undefined | Promise<T | undefined>

interface Handler {
  versions: readonly [number, number]
  isFlexible: (version: number) => boolean
  answer: (reader: Reader, asked: Asked) => Promise<Buffer[] | undefined>
}

export class FakeBroker {
  readonly #server: Server
  readonly #handlers = new Map<number, Handler>()
  readonly sockets = new Set<Socket>()
  readonly asked: Asked[] = []
  /** How an answer is put on the wire. */
  send: (socket: Socket, frame: Buffer) => void = (socket, frame) => socket.write(frame)
  connectionsCount = 0
  /** Every connection ends as soon as it is there. */
  isDown = false

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => this.#serve(socket))
    this.on(apiVersions, () => ({ errorCode: 0, apiKeys: this.ranges() }))
  }

  static async start(): Promise<FakeBroker> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new FakeBroker(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  ranges(): { apiKey: number; minVersion: number; maxVersion: number }[] {
    return [...this.#handlers].map(
      ([
        apiKey,
        {
          versions: [minVersion, maxVersion],
        },
      ]) => ({
        apiKey,
        minVersion,
        maxVersion,
      }),
    )
  }

  /** Serves an api; `versions` narrows what it offers. */
  on<RequestOut, ResponseIn>(
    api: ServedApi<RequestOut, ResponseIn>,
    answer: (request: RequestOut, asked: Asked) => Answer<ResponseIn>,
    versions = api.versions,
  ): void {
    this.#handlers.set(api.apiKey, {
      versions,
      isFlexible: (version) => api.request.isFlexible(version),
      answer: async (reader, asked) => {
        const body = await answer(api.request.decode(reader, asked.version), asked)
        if (body === undefined) return undefined
        return encodeResponse(api, asked.version, asked.correlationId, body)
      },
    })
  }

  countOf(apiKey: number): number {
    return this.asked.filter((asked) => asked.apiKey === apiKey).length
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #serve(socket: Socket): void {
    this.connectionsCount++
    this.sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('error', () => {})
    if (this.isDown) {
      socket.destroy()
      return
    }
    const assembler = new FrameAssembler(1024 * 1024)
    socket.on('data', (chunk: Buffer) => {
      assembler.push(chunk, (frame) => void this.#answer(socket, Buffer.from(frame)))
    })
  }

  async #answer(socket: Socket, frame: Buffer): Promise<void> {
    const reader = new Reader(frame)
    const header = readRequestHeader(
      reader,
      (apiKey, version) => this.#handlers.get(apiKey)?.isFlexible(version) ?? false,
    )
    const { apiKey, apiVersion: version, correlationId } = header
    const asked = { apiKey, version, correlationId, socket }
    this.asked.push(asked)
    const buffers = await this.#handlers.get(apiKey)?.answer(reader, asked)
    if (buffers !== undefined) this.send(socket, Buffer.concat(buffers))
  }
}
