// Who a device is: its id, its credentials, and the MQTT topics it may use.
//
// A fleet shares one secret and every device has a password of its own derived from it, so that a
// stolen device gives away itself only, and a factory needs no table of passwords.

import { createHmac } from 'node:crypto'
import { shorten } from './suggestion.ts'
import { parseTopicTemplate, type TopicTemplate } from './topic-template.ts'

export interface DeviceIdentity {
  readonly device: string
  readonly username: string | undefined
  readonly password: string | undefined
}

export interface CredentialTemplate {
  /** May use {device}. */
  readonly username?: string | undefined
  /** One password for all; `fleetSecret` gives each device its own instead. */
  readonly password?: string | undefined
  readonly fleetSecret?: string | undefined
}

/** Usable as a topic level, a client identifier, a file name and a Kafka key alike. */
const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/

/** A sentence when `id` cannot be a device id. */
export function deviceIdProblem(id: string): string | undefined {
  if (DEVICE_ID.test(id)) return undefined
  return `device id is ${shorten(id)}, expected up to 64 letters, digits and . _ : -`
}

/** dev-0001, dev-0002 …: as many digits as the fleet needs, so that text order is number order. */
export function fleetDeviceId(prefix: string, index: number, devices: number): string {
  const digits = Math.max(4, String(devices).length)
  return `${prefix}${String(index + 1).padStart(digits, '0')}`
}

/** The password of one device under a fleet secret: HMAC-SHA-256, 32 characters. */
export function derivePassword(fleetSecret: string, device: string): string {
  const digest = createHmac('sha256', fleetSecret).update(`mqtt-password:${device}`).digest()
  return digest.subarray(0, 24).toString('base64url')
}

export function identityOf(device: string, template: CredentialTemplate): DeviceIdentity {
  const { username, password, fleetSecret } = template
  return {
    device,
    username: username?.replaceAll('{device}', device),
    password: fleetSecret === undefined ? password : derivePassword(fleetSecret, device),
  }
}

/** Says of a topic name whether the device may publish there. */
export type TopicPermit = (mqttTopic: string) => boolean

/**
 * The permit for a device; `allowed` are topic templates in which {device} is the device itself.
 * Returns a sentence when a template is malformed.
 */
export function topicPermit(device: string, allowed: readonly string[]): TopicPermit | string {
  const templates: TopicTemplate[] = []
  for (const text of allowed) {
    const template = parseTopicTemplate(text)
    if (typeof template === 'string') return `allowed topic ${shorten(text)}: ${template}`
    templates.push(template)
  }
  return (mqttTopic) =>
    templates.some((template) => {
      const names = template.match(mqttTopic)
      return names !== undefined && (names.get('device') ?? device) === device
    })
}
