// One client's connection: frames in, answers out in the order of the requests.
//
// - Requests are taken one by one; the next begins when the one before has its answer or, for
//   Produce, has appended its batches and only waits for the commit.
// - Bounded: answers that wait for their turn, bytes read ahead, and bytes the client has not read.
//   Above any of them nothing more is taken from the socket.
// - A frame that does not parse ends the connection with one line; so does a request of an unknown
//   API or version, as in Kafka, for there is no shape in which to answer it.

import type { Socket } from 'node:net'
import { AgentError, isBug } from '../../base/errors.ts'
import type { Counter } from '../../base/telemetry.ts'
import { readRequestHeader } from '../protocol/frame.ts'
import * as apiVersions from '../protocol/messages/18-api-versions.ts'
import { Reader } from '../protocol/wire.ts'
import type { Lifetime } from './announcement.ts'
import { answerUnknownVersion } from './apis/18-api-versions.ts'
import type { Address, Broker } from './broker.ts'
import { FrameScanner } from './frame-scanner.ts'
import { isFlexible, isServed, servedApi } from './registry.ts'
import type { RequestMemory } from './request-memory.ts'
import type { Answer } from './served-api.ts'

export interface ConnectionOptions {
  broker: Broker
  /** A client is being cut off. */
  refused: (client: string, reason: string) => void
  memory: RequestMemory
  /** By API name. */
  requests: ReadonlyMap<string, Counter>
  requestBytesMax: number
  /** Answers that wait for their turn. */
  inFlightMax: number
  /** Bytes not yet taken by the client above which no request begins. */
  unsentBytesMax: number
  /** Without any request for this long, a connection ends. */
  idleMs: number
  /** In the middle of a frame or of an answer. */
  stallMs: number
}

/** Smaller frames are not reserved: they lie in the chunks that are bounded anyway. */
const RESERVE_FROM_BYTES = 64 * 1024
/** Read ahead of a request that is being worked on, so that a client's end is noticed. */
const READ_AHEAD_BYTES = 64 * 1024
/** Elements of all arrays of a request; there are 1,000 partitions at most to speak of. */
const ELEMENTS_MAX = 20_000

interface Slot {
  /** Undefined: the answer is not there yet. */
  buffers: Buffer[] | undefined
}

export class Connection implements Lifetime {
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #scanner: FrameScanner
  readonly #localAddress: Address
  readonly #answers: Slot[] = []
  readonly #over = new Set<() => void>()
  #isOver = false
  /** No more requests: end when the last answer is out. */
  #isFinishing = false
  #inputEnded = false
  #isPumping = false
  /** A request is in the part of its work that needs its order, or waits for memory. */
  #isBusy = false
  #reserved = 0
  #lastRead: number
  #lastSent: number

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.#scanner = new FrameScanner(options.requestBytesMax)
    this.#localAddress = localAddressOf(socket)
    this.#lastRead = options.broker.clock.monotonic()
    this.#lastSent = this.#lastRead
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      if (this.#isFinishing) return
      this.#lastRead = options.broker.clock.monotonic()
      this.#scanner.push(chunk)
      this.#pump()
    })
    socket.on('end', () => {
      this.#inputEnded = true
      this.#pump()
    })
    socket.on('drain', () => this.#pump())
    // 'close' follows, and says all there is to say: clients come and go.
    socket.on('error', () => {})
    socket.on('close', () => this.#ended())
  }

  get isOver(): boolean {
    return this.#isOver
  }

  onOver(run: () => void): () => void {
    if (this.#isOver) run()
    else this.#over.add(run)
    return () => this.#over.delete(run)
  }

  /** Takes no more requests; ends when those at work are answered. */
  finish(): void {
    this.#isFinishing = true
    this.#pump()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Ends what stands still: a half frame, an answer that nobody reads, a client that says nothing. */
  checkProgress(now: number): void {
    const { stallMs, idleMs } = this.#options
    const isStuck = this.#scanner.isInside && !this.#isBlocked()
    if (isStuck && now - this.#lastRead > stallMs) this.#refuse('a frame never came to its end')
    else if (this.#socket.writableLength > 0 && now - this.#lastSent > stallMs) this.destroy()
    else if (this.#isQuiet() && now - Math.max(this.#lastRead, this.#lastSent) > idleMs) {
      this.#socket.destroySoon()
    }
  }

  #isQuiet(): boolean {
    return !this.#isBusy && this.#answers.length === 0 && !this.#scanner.isInside
  }

  #isBlocked(): boolean {
    const { inFlightMax, unsentBytesMax } = this.#options
    return (
      this.#isBusy ||
      this.#answers.length >= inFlightMax ||
      this.#socket.writableLength > unsentBytesMax
    )
  }

  /** Works on frames until there are none or something must be waited for. Called after any change. */
  #pump(): void {
    if (this.#isPumping || this.#isOver) return
    this.#isPumping = true
    while (!this.#isFinishing && !this.#isBlocked()) {
      const frame = this.#scanner.next()
      if (frame.kind === 'more') {
        if (this.#inputEnded) this.#isFinishing = true
        break
      }
      if (frame.kind === 'frame') this.#take(frame.bytes)
      else if (frame.kind === 'large') this.#begin(frame.size)
      else this.#refuse(`a frame of ${frame.size} bytes`)
    }
    this.#isPumping = false
    if (this.#isFinishing) {
      // What still comes is read and dropped: bytes left unread would reset the connection, and with
      // it the last answers.
      this.#socket.resume()
      if (!this.#isBusy && this.#answers.length === 0) this.#socket.end()
    } else if (!this.#isBlocked()) this.#socket.resume()
    else if (this.#scanner.bufferedBytes > READ_AHEAD_BYTES) this.#socket.pause()
  }

  /** Makes room for a frame that does not lie in one chunk. */
  #begin(size: number): void {
    if (size < RESERVE_FROM_BYTES) {
      this.#scanner.begin(size)
      return
    }
    const granted = () => {
      forget()
      this.#isBusy = false
      this.#reserved = size
      this.#scanner.begin(size)
      this.#pump()
    }
    const { memory } = this.#options
    const forget = this.onOver(() => memory.forget(granted))
    this.#isBusy = true
    if (memory.reserve(size, granted)) granted()
  }

  #take(frame: Buffer): void {
    const { memory } = this.#options
    const reserved = this.#reserved
    this.#reserved = 0
    const done = reserved === 0 ? () => {} : () => memory.release(reserved)
    try {
      const answer = this.#dispatch(frame)
      if (answer instanceof Promise) {
        this.#isBusy = true
        answer.then(
          (settled) => {
            this.#isBusy = false
            this.#settle(settled, done)
            this.#pump()
          },
          (fault) => {
            this.#isBusy = false
            done()
            this.#failed(fault)
          },
        )
      } else {
        this.#settle(answer, done)
      }
    } catch (fault) {
      done()
      this.#failed(fault)
    }
  }

  #dispatch(frame: Buffer): Answer<Buffer[]> | Promise<Answer<Buffer[]>> {
    const { broker, requests } = this.#options
    const reader = new Reader(frame, 0, frame.length, ELEMENTS_MAX)
    const { apiKey, apiVersion, correlationId, clientId } = readRequestHeader(reader, isFlexible)
    const api = servedApi(apiKey)
    if (api === undefined) return { kind: 'close', reason: `API ${apiKey} is not served` }
    requests.get(api.apiName)?.add()
    if (!isServed(api, apiVersion)) {
      return apiKey === apiVersions.apiKey
        ? { kind: 'now', response: answerUnknownVersion(correlationId) }
        : { kind: 'close', reason: `${api.apiName} v${apiVersion} is not served` }
    }
    const call = { broker, version: apiVersion, clientId, client: this }
    return api.answer(reader, correlationId, { ...call, localAddress: this.#localAddress })
  }

  /** `done` gives the request's memory back, once nobody holds its bytes any more. */
  #settle(answer: Answer<Buffer[]>, done: () => void): void {
    switch (answer.kind) {
      case 'none':
        done()
        break
      case 'close':
        done()
        this.#refuse(answer.reason)
        break
      case 'now':
        done()
        this.#answers.push({ buffers: answer.response })
        this.#flush()
        break
      case 'later': {
        const slot: Slot = { buffers: undefined }
        this.#answers.push(slot)
        answer.response.finally(done).then(
          (buffers) => {
            slot.buffers = buffers
            this.#flush()
            this.#pump()
          },
          (fault) => this.#failed(fault),
        )
      }
    }
  }

  /** Writes the answers whose turn it is. */
  #flush(): void {
    const socket = this.#socket
    const ready: Buffer[] = []
    for (;;) {
      const buffers = this.#answers[0]?.buffers
      if (buffers === undefined) break
      this.#answers.shift()
      ready.push(...buffers)
    }
    const last = ready.pop()
    if (last === undefined || !socket.writable) return
    socket.cork()
    for (const buffer of ready) socket.write(buffer)
    socket.write(last, () => {
      this.#lastSent = this.#now()
    })
    socket.uncork()
  }

  #now(): number {
    return this.#options.broker.clock.monotonic()
  }

  /** A fault of the request ends the connection; a broken invariant of ours ends the process. */
  #failed(fault: unknown): void {
    if (!(fault instanceof AgentError) && isBug(fault)) throw fault
    this.#refuse(fault instanceof Error ? fault.message : String(fault))
  }

  #refuse(reason: string): void {
    if (this.#isOver) return
    const { remoteAddress, remotePort } = this.#socket
    this.#options.refused(`${remoteAddress}:${remotePort}`, reason)
    this.#isFinishing = true
    this.#socket.destroySoon()
  }

  #ended(): void {
    this.#isOver = true
    this.#answers.length = 0
    if (this.#reserved > 0) this.#options.memory.release(this.#reserved)
    this.#reserved = 0
    for (const run of [...this.#over]) run()
    this.#over.clear()
  }
}

function localAddressOf({ localAddress = '', localPort = 0 }: Socket): Address {
  // An IPv4 client of a dual-stack socket must be told an address it can use.
  return { host: localAddress.replace(/^::ffff:/, ''), port: localPort }
}
