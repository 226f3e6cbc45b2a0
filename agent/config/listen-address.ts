// Addresses as they stand in the configuration: `host:port`, and the URLs of MQTT listeners.

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** `host:port` or `[v6]:port`; undefined when it is neither. */
export function parseHostPort(value: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value)
  if (match === null) return undefined
  const port = Number(match[3])
  return port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port }
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

type MqttScheme = 'mqtt' | 'mqtts' | 'ws' | 'wss'

const DEFAULT_PORTS: Record<MqttScheme, number> = { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 }

export interface MqttAddress extends HostPort {
  readonly scheme: MqttScheme
}

/** `mqtt://host:port` and its kin; `tcp` is `mqtt`. Undefined when it is none. */
export function parseMqttAddress(value: string): MqttAddress | undefined {
  const match = /^(mqtt|tcp|mqtts|ws|wss):\/\/([^/]+)\/?$/.exec(value)
  if (match === null) return undefined
  const scheme = (match[1] === 'tcp' ? 'mqtt' : match[1]) as MqttScheme
  const named = /(?:^[^:]*|\])$/.test(match[2]!)
  const address = parseHostPort(named ? `${match[2]}:${DEFAULT_PORTS[scheme]}` : match[2]!)
  return address === undefined ? undefined : { scheme, ...address }
}

/** True for an address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
