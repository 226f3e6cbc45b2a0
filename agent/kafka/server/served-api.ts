// What a handler gets and gives, and how it is tied to the schema of its API.

import { type Api, encodeResponse } from '../protocol/frame.ts'
import type { Reader } from '../protocol/wire.ts'
import type { Lifetime } from './announcement.ts'
import type { Address, Broker } from './broker.ts'

/** One request's surroundings. */
export interface Call {
  readonly broker: Broker
  readonly version: number
  readonly clientId: string | null
  readonly client: Lifetime
  /** Where the client reached us. */
  readonly localAddress: Address
}

/**
 * `now`: the answer. `later`: the work that needs its order is done, the next request may begin; the
 * answer keeps its place. `none`: no answer is wanted. `close`: the connection has to end.
 */
export type Answer<T> =
  | { readonly kind: 'now'; readonly response: T }
  | { readonly kind: 'later'; readonly response: Promise<T> }
  | { readonly kind: 'none' }
  | { readonly kind: 'close'; readonly reason: string }

export type Handler<Request, Response> = (
  request: Request,
  call: Call,
) => Answer<Response> | Promise<Answer<Response>>

/** An API with its messages hidden, for the registry. */
export interface ServedApi {
  readonly apiKey: number
  readonly apiName: string
  /** What is handled; a handler may refuse some of it in the API's own words. */
  readonly versions: readonly [number, number]
  isFlexible(version: number): boolean
  /** The frames of the answer. Throws AgentError INPUT_FRAME for a request that does not parse. */
  answer(
    reader: Reader,
    correlationId: number,
    call: Call,
  ): Answer<Buffer[]> | Promise<Answer<Buffer[]>>
}

export function serve<RequestOut, RequestIn, ResponseOut, ResponseIn>(
  api: Api<RequestOut, RequestIn, ResponseOut, ResponseIn>,
  versions: readonly [number, number],
  handle: Handler<RequestOut, ResponseIn>,
): ServedApi {
  return {
    apiKey: api.apiKey,
    apiName: api.apiName,
    versions,
    isFlexible: (version) => api.request.isFlexible(version),
    answer(reader, correlationId, call) {
      const request = api.request.decode(reader, call.version)
      const encode = (response: ResponseIn) =>
        encodeResponse(api, call.version, correlationId, response)
      const answer = handle(request, call)
      return answer instanceof Promise
        ? answer.then((settled) => mapAnswer(settled, encode))
        : mapAnswer(answer, encode)
    },
  }
}

function mapAnswer<T>(answer: Answer<T>, encode: (response: T) => Buffer[]): Answer<Buffer[]> {
  if (answer.kind === 'now') return { kind: 'now', response: encode(answer.response) }
  if (answer.kind === 'later') return { kind: 'later', response: answer.response.then(encode) }
  return answer
}

export function now<T>(response: T): Answer<T> {
  return { kind: 'now', response }
}
