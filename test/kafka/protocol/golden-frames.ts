// The frames of test/golden/kafka, and the APIs by key to decode them with.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Message } from '../../../agent/kafka/protocol/schema.ts'

/** A message whose types a test does not care about. */
type Untyped = Message<Record<string, unknown>, unknown>

export interface UntypedApi {
  apiName: string
  apiKey: number
  versions: readonly [number, number]
  request: Untyped
  response: Untyped
}

export interface GoldenFrame {
  client: string
  apiKey: number
  version: number
  kind: 'request' | 'response'
  frame: Buffer
}

const MESSAGES = join(import.meta.dirname, '../../../agent/kafka/protocol/messages')
const GOLDEN = join(import.meta.dirname, '../../golden/kafka')

/** Every file of protocol/messages, with its name. */
export const apis = new Map<number, UntypedApi & { file: string }>()
for (const file of readdirSync(MESSAGES).sort()) {
  const api = (await import(join(MESSAGES, file))) as UntypedApi
  apis.set(api.apiKey, { ...api, file })
}

export const goldenFrames: GoldenFrame[] = readdirSync(GOLDEN)
  .filter((file) => file.endsWith('.frames'))
  .flatMap((file) =>
    readFileSync(join(GOLDEN, file), 'utf8')
      .trim()
      .split('\n')
      .map((line) => {
        const [apiKey, version, kind, hex] = line.split(' ')
        return {
          client: file.replace('.frames', ''),
          apiKey: Number(apiKey),
          version: Number(version),
          kind: kind as GoldenFrame['kind'],
          frame: Buffer.from(hex!, 'hex'),
        }
      }),
  )

export function titleOf({ client, apiKey, version, kind }: GoldenFrame): string {
  return `${client}: ${apis.get(apiKey)?.apiName ?? apiKey} v${version} ${kind}`
}
