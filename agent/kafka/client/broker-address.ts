// Addresses of brokers as people write them: host:9092, 10.0.0.1:9092, [::1]:9092.

import { isIP } from 'node:net'
import { AgentError } from '../../base/errors.ts'

export interface BrokerAddress {
  host: string
  port: number
}

/** INPUT_CONFIG when it cannot be one. */
export function parseAddress(text: string): BrokerAddress {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[3])
  if (parts === null || port < 1 || port > 65_535) {
    throw new AgentError('INPUT_CONFIG', `"${text}" is no address of a broker: write host:9092`)
  }
  return { host: parts[1] ?? parts[2]!, port }
}

export function formatAddress({ host, port }: BrokerAddress): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
