// How the configuration says to connect to the upstream, as the Kafka client takes it.

import { readFile } from 'node:fs/promises'
import type { TlsSettings } from '../kafka/client/broker-connection.ts'
import type { SaslSettings } from '../kafka/client/sasl.ts'
import type { UpstreamConfig } from './schema.ts'

export interface UpstreamConnection {
  readonly bootstrapServers: readonly string[]
  readonly clientId: string
  readonly tls: TlsSettings | undefined
  readonly sasl: SaslSettings | undefined
}

/** Reads the certificates; of a configuration that was checked they can be read. */
export async function upstreamConnection(upstream: UpstreamConfig): Promise<UpstreamConnection> {
  const { bootstrapServers, clientId, security } = upstream
  const { protocol, mechanism, username, password } = security
  const hasSasl = protocol.startsWith('SASL') && mechanism !== undefined
  return {
    bootstrapServers,
    clientId,
    tls: protocol.endsWith('SSL') ? await readTls(security) : undefined,
    sasl:
      hasSasl && mechanism !== 'OAUTHBEARER'
        ? { mechanism, username: username ?? '', password: password ?? '' }
        : undefined,
  }
}

async function readTls(security: UpstreamConfig['security']): Promise<TlsSettings> {
  const { caFile, certFile, keyFile } = security
  return {
    ...(caFile === undefined ? {} : { ca: await readFile(caFile) }),
    ...(certFile === undefined ? {} : { cert: await readFile(certFile) }),
    ...(keyFile === undefined ? {} : { key: await readFile(keyFile) }),
  }
}
