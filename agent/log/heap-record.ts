// A record whose bytes lie on the JavaScript heap, and its way into kernel memory.

import { INGRESS, INGRESS_BYTES } from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import { encodeHeader } from '../record/record.ts'
import type { RecordPointers } from './tail-list.ts'

export interface HeapRecord {
  timestamp: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly (readonly [string | Uint8Array, Uint8Array | null])[]
}

/** Puts its bytes where `append` finds them. Fault: INPUT_BATCH when it is too large. */
export function stageRecord(kernel: Kernel, record: HeapRecord): RecordPointers {
  const encoded = (record.headers ?? []).map(([key, value]) => encodeHeader(key, value))
  const parts = [record.key, record.value, ...encoded]
  const total = parts.reduce((sum, part) => sum + (part?.length ?? 0), 0)
  if (total > INGRESS_BYTES) {
    throw new AgentError('INPUT_BATCH', `a record of ${total} bytes; at most ${INGRESS_BYTES}`)
  }
  let position = INGRESS
  const stage = (bytes: Uint8Array | null) => {
    const at = position
    if (bytes !== null) kernel.u8.set(bytes, at)
    position += bytes?.length ?? 0
    return at
  }
  const [key, value] = [stage(record.key), stage(record.value)]
  const headers = position
  for (const header of encoded) stage(header)
  return {
    key,
    keyLength: record.key?.length ?? -1,
    value,
    valueLength: record.value?.length ?? -1,
    headers,
    headersLength: position - headers,
    headersCount: encoded.length,
  }
}
