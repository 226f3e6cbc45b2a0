// Frames: a size, a header, a body.
//
//   frame            int32 size, header, body
//   request header   v0  apiKey int16, apiVersion int16, correlationId int32
//                    v1  + clientId nullable string (never compact)
//                    v2  + tagged fields
//   response header  v0  correlationId int32
//                    v1  + tagged fields
// A flexible request has header v2 and its response header v1. ApiVersions is the exception: its
// response always has header v0, because the asker cannot know what the other side speaks (KIP-511).
// Only ControlledShutdown v0 ever had request header v0.

import type { Message } from './schema.ts'
import { Reader, Writer } from './wire.ts'

/** What a file of messages/ exports. */
export interface Api<RequestOut, RequestIn, ResponseOut, ResponseIn> {
  readonly apiName: string
  readonly apiKey: number
  readonly versions: readonly [number, number]
  readonly request: Message<RequestOut, RequestIn>
  readonly response: Message<ResponseOut, ResponseIn>
}

export interface RequestHeader {
  apiKey: number
  apiVersion: number
  correlationId: number
  clientId: string | null
}

const API_VERSIONS_KEY = 18
const CONTROLLED_SHUTDOWN_KEY = 7

/**
 * Reads a request's header from a frame without its size; the reader then stands at the body.
 * `isFlexible` tells whether a request of that key and version has tagged fields.
 */
export function readRequestHeader(
  reader: Reader,
  isFlexible: (apiKey: number, apiVersion: number) => boolean,
): RequestHeader {
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  if (apiKey === CONTROLLED_SHUTDOWN_KEY && apiVersion === 0) {
    return { apiKey, apiVersion, correlationId, clientId: null }
  }
  const clientId = reader.string()
  if (isFlexible(apiKey, apiVersion)) reader.skipTaggedFields()
  return { apiKey, apiVersion, correlationId, clientId }
}

/** A whole request frame, as buffers to be written one after the other. */
export function encodeRequest<In>(
  api: { apiKey: number; request: Message<unknown, In> },
  header: Omit<RequestHeader, 'apiKey'>,
  body: In,
): Buffer[] {
  const writer = new Writer()
  writer.int32(0)
  writer.int16(api.apiKey)
  writer.int16(header.apiVersion)
  writer.int32(header.correlationId)
  writer.string(header.clientId)
  if (api.request.isFlexible(header.apiVersion)) writer.uvarint(0)
  api.request.encode(writer, body, header.apiVersion)
  return writer.finishFrame()
}

/** Whether responses of this api and version have header v1. */
function hasTaggedResponseHeader(
  api: { apiKey: number; response: Pick<Message<unknown, never>, 'isFlexible'> },
  version: number,
): boolean {
  return api.apiKey !== API_VERSIONS_KEY && api.response.isFlexible(version)
}

/** Decodes the body of a response from a frame without its size. */
export function decodeResponse<Out>(
  api: { apiKey: number; response: Pick<Message<Out, never>, 'isFlexible' | 'decode'> },
  version: number,
  frame: Buffer,
): Out {
  const reader = new Reader(frame)
  reader.int32()
  if (hasTaggedResponseHeader(api, version)) reader.skipTaggedFields()
  return api.response.decode(reader, version)
}

/** A whole response frame, as buffers to be written one after the other. */
export function encodeResponse<In>(
  api: { apiKey: number; response: Message<unknown, In> },
  version: number,
  correlationId: number,
  body: In,
): Buffer[] {
  const writer = new Writer()
  writer.int32(0)
  writer.int32(correlationId)
  if (hasTaggedResponseHeader(api, version)) writer.uvarint(0)
  api.response.encode(writer, body, version)
  return writer.finishFrame()
}
