// A device profile: what one kind of device sends, as data. A profile file holds one object:
//
//   name: greenhouse                     # routes name it: profile: greenhouse
//   mqttTopic: farm/{device}/climate     # {name} = one level, {name...} = the rest; + and #
//   format: json                         # json | cbor
//   key: "{device}"                      # also {payload.path.to.field} and {mqttTopic}; optional
//   time: { path: ts, format: auto }     # auto | iso | s | ms | us; zone: Europe/Berlin for ISO
//                                        # text without one; required: true refuses a bad time
//   fields:                              # what is not named is let through unseen
//     - { name: temperature, path: air.temperature, type: number, unit: °C, min: -40, max: 85,
//         required: true, sentinels: [-127] }    # a sentinel means "no reading": null
//     - { name: state, path: state, type: string, values: [ON, OFF] }
//   normalise: false                     # true: the record's value becomes JSON of the named fields
//   limits: { maxBytes: 262144, maxDepth: 16, maxItems: 10000 }
//
// A path is dotted, list items by number; a key with a dot needs the list form [a, "b.c"]; "" is the
// whole payload. `required` asks that the field is there: null and sentinels count as there.

import { TIME_FORMATS, type TimeFormat } from './event-time.ts'
import { nearest, shorten, unknownKeys } from './suggestion.ts'
import { TimeZone } from './time-zone.ts'
import {
  type KeyPart,
  parseKeyTemplate,
  parseTopicTemplate,
  type TopicTemplate,
} from './topic-template.ts'

const PAYLOAD_FORMATS = ['json', 'cbor'] as const
export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number]

const FIELD_TYPES = ['number', 'integer', 'string', 'boolean'] as const
export type FieldType = (typeof FIELD_TYPES)[number]

export interface FieldProfile {
  readonly name: string
  readonly path: readonly string[]
  readonly type: FieldType
  readonly unit: string | undefined
  readonly min: number | undefined
  readonly max: number | undefined
  readonly required: boolean
  readonly sentinels: readonly (number | string)[]
  readonly values: readonly string[] | undefined
}

export interface TimeProfile {
  readonly path: readonly string[]
  readonly format: TimeFormat
  readonly zone: TimeZone | undefined
  readonly required: boolean
}

export interface PayloadLimits {
  readonly maxBytes: number
  readonly maxDepth: number
  readonly maxItems: number
}

export interface Profile {
  readonly name: string
  readonly mqttTopic: TopicTemplate
  readonly format: PayloadFormat
  readonly key: readonly KeyPart[] | undefined
  readonly time: TimeProfile | undefined
  readonly fields: readonly FieldProfile[]
  readonly normalise: boolean
  readonly limits: PayloadLimits
}

export type ProfileCheck =
  | { readonly kind: 'valid'; readonly profile: Profile }
  /** Every problem of the file at once, one sentence each. */
  | { readonly kind: 'invalid'; readonly problems: readonly string[] }

const DEFAULT_LIMITS: PayloadLimits = { maxBytes: 262_144, maxDepth: 16, maxItems: 10_000 }
const LIMITS_MAX: PayloadLimits = { maxBytes: 16_777_216, maxDepth: 64, maxItems: 1_000_000 }
const FIELDS_MAX = 1_000
const PROFILE_KEYS = ['name', 'mqttTopic', 'format', 'key', 'time', 'fields', 'normalise', 'limits']
const FIELD_KEYS = ['name', 'path', 'type', 'unit', 'min', 'max', 'required', 'sentinels', 'values']
const TIME_KEYS = ['path', 'format', 'zone', 'required']

/** Checks a parsed profile file; `where` names it in the sentences. */
export function checkProfile(value: unknown, where: string): ProfileCheck {
  const reader = new ProfileReader(where)
  const profile = reader.profile(value)
  if (profile === undefined || reader.problems.length > 0) {
    return { kind: 'invalid', problems: reader.problems }
  }
  return { kind: 'valid', profile }
}

/** Reads one profile and collects what is wrong with it, so that one look at it names everything. */
class ProfileReader {
  readonly problems: string[] = []
  readonly #where: string

  constructor(where: string) {
    this.#where = where
  }

  profile(value: unknown): Profile | undefined {
    const object = this.#object(value, '', PROFILE_KEYS)
    if (object === undefined) return undefined
    const mqttTopic = this.#template(object.mqttTopic)
    const profile: Profile = {
      name: this.#name(object.name),
      mqttTopic,
      format: this.#choice(object.format, 'format', PAYLOAD_FORMATS, 'json'),
      key: this.#key(object.key, mqttTopic.names),
      time: this.#time(object.time),
      fields: this.#fields(object.fields),
      normalise: this.#flag(object.normalise, 'normalise'),
      limits: this.#limits(object.limits),
    }
    return profile
  }

  #say(key: string, problem: string): void {
    this.problems.push(
      key === '' ? `${this.#where}: ${problem}` : `${this.#where}: ${key} ${problem}`,
    )
  }

  #object(
    value: unknown,
    key: string,
    known: readonly string[],
  ): Readonly<Record<string, unknown>> | undefined {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#say(key, `is ${shorten(value)}, expected a mapping with ${known.join(', ')}`)
      return undefined
    }
    const object = value as Readonly<Record<string, unknown>>
    this.problems.push(
      ...unknownKeys(object, known, key === '' ? this.#where : `${this.#where}: ${key}`),
    )
    return object
  }

  #name(value: unknown): string {
    if (typeof value === 'string' && /^[a-z0-9][a-z0-9._-]{0,63}$/i.test(value)) return value
    this.#say('name', `is ${shorten(value)}, expected up to 64 letters, digits, dots and dashes`)
    return ''
  }

  #template(value: unknown): TopicTemplate {
    const anything: TopicTemplate = { text: '#', names: [], match: () => new Map() }
    if (typeof value !== 'string') {
      const hint = value === null ? '; # begins a YAML comment: quote it' : ''
      this.#say(
        'mqttTopic',
        `is ${shorten(value)}, expected a topic such as tele/{device}/SENSOR${hint}`,
      )
      return anything
    }
    const template = parseTopicTemplate(value)
    if (typeof template !== 'string') return template
    this.#say('mqttTopic', template)
    return anything
  }

  #key(value: unknown, names: readonly string[]): readonly KeyPart[] | undefined {
    if (value === undefined) return undefined
    if (typeof value !== 'string') {
      this.#say('key', `is ${shorten(value)}, expected text; in YAML write key: "{device}", quoted`)
      return undefined
    }
    const parts = parseKeyTemplate(value, names)
    if (typeof parts !== 'string') return parts
    this.#say('key', parts)
    return undefined
  }

  #time(value: unknown): TimeProfile | undefined {
    if (value === undefined) return undefined
    const object = this.#object(value, 'time', TIME_KEYS)
    if (object === undefined) return undefined
    return {
      path: this.#path(object.path, 'time.path'),
      format: this.#choice(object.format, 'time.format', TIME_FORMATS, 'auto'),
      zone: this.#zone(object.zone),
      required: this.#flag(object.required, 'time.required'),
    }
  }

  #zone(value: unknown): TimeZone | undefined {
    if (value === undefined) return undefined
    const zone = typeof value === 'string' ? TimeZone.named(value) : undefined
    if (zone === undefined) {
      this.#say('time.zone', `is ${shorten(value)}, expected a zone such as Europe/Berlin or UTC`)
    }
    return zone
  }

  #fields(value: unknown): FieldProfile[] {
    if (value === undefined) return []
    if (!Array.isArray(value) || value.length > FIELDS_MAX) {
      this.#say('fields', `is ${shorten(value)}, expected a list of at most ${FIELDS_MAX} fields`)
      return []
    }
    const fields: FieldProfile[] = []
    for (const [index, item] of value.entries()) {
      const field = this.#field(item, `fields[${index}]`)
      if (field === undefined) continue
      if (fields.some(({ name }) => name === field.name)) {
        this.#say(
          `fields[${index}].name`,
          `is ${shorten(field.name)}, which another field has already`,
        )
      }
      fields.push(field)
    }
    return fields
  }

  #field(value: unknown, key: string): FieldProfile | undefined {
    const object = this.#object(value, key, FIELD_KEYS)
    if (object === undefined) return undefined
    const { name } = object
    if (typeof name !== 'string' || name === '') {
      this.#say(`${key}.name`, `is ${shorten(name)}, expected the field's name`)
      return undefined
    }
    const type = this.#choice(object.type, `${key}.type`, FIELD_TYPES, 'number')
    const field: FieldProfile = {
      name,
      path: object.path === undefined ? [name] : this.#path(object.path, `${key}.path`),
      type,
      unit: this.#text(object.unit, `${key}.unit`),
      min: this.#number(object.min, `${key}.min`),
      max: this.#number(object.max, `${key}.max`),
      required: this.#flag(object.required, `${key}.required`),
      sentinels: this.#sentinels(object.sentinels, `${key}.sentinels`),
      values: this.#values(object.values, `${key}.values`),
    }
    this.#relations(field, key)
    return field
  }

  #relations(field: FieldProfile, key: string): void {
    const isNumeric = field.type === 'number' || field.type === 'integer'
    if (!isNumeric && (field.min !== undefined || field.max !== undefined)) {
      this.#say(key, `(${field.name}) has min or max, which a ${field.type} has not`)
    }
    if (field.values !== undefined && field.type !== 'string') {
      this.#say(key, `(${field.name}) has values, which only a string has`)
    }
    if (field.min !== undefined && field.max !== undefined && field.min > field.max) {
      this.#say(key, `(${field.name}) has min ${field.min} above max ${field.max}`)
    }
  }

  #path(value: unknown, key: string): readonly string[] {
    if (value === '') return []
    if (typeof value === 'string') {
      const path = value.split('.')
      if (path.every((step) => step !== '')) return path
    }
    if (Array.isArray(value) && value.every((step) => typeof step === 'string')) return value
    this.#say(key, `is ${shorten(value)}, expected a path such as air.temperature`)
    return []
  }

  #choice<T extends string>(value: unknown, key: string, all: readonly T[], byDefault: T): T {
    if (value === undefined) return byDefault
    const found = all.find((choice) => choice === value)
    if (found !== undefined) return found
    const near = typeof value === 'string' ? nearest(value, all) : undefined
    const hint = near === undefined ? '' : `; did you mean ${near}?`
    this.#say(key, `is ${shorten(value)}, expected ${all.join(', ')}${hint}`)
    return byDefault
  }

  #flag(value: unknown, key: string): boolean {
    if (typeof value === 'boolean') return value
    if (value !== undefined) this.#say(key, `is ${shorten(value)}, expected true or false`)
    return false
  }

  #text(value: unknown, key: string): string | undefined {
    if (value === undefined || typeof value === 'string') return value
    this.#say(key, `is ${shorten(value)}, expected text`)
    return undefined
  }

  #number(value: unknown, key: string): number | undefined {
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value
    this.#say(key, `is ${shorten(value)}, expected a number`)
    return undefined
  }

  #sentinels(value: unknown, key: string): readonly (number | string)[] {
    if (value === undefined) return []
    const list = Array.isArray(value) ? value : [value]
    if (list.every((item) => typeof item === 'number' || typeof item === 'string')) return list
    this.#say(key, `is ${shorten(value)}, expected a list of numbers or texts`)
    return []
  }

  #values(value: unknown, key: string): readonly string[] | undefined {
    if (value === undefined) return undefined
    if (
      Array.isArray(value) &&
      value.length > 0 &&
      value.every((item) => typeof item === 'string')
    ) {
      return value
    }
    const hint = Array.isArray(value) && value.includes(true) ? '; quote YAML words like "on"' : ''
    this.#say(key, `is ${shorten(value)}, expected a list of texts${hint}`)
    return undefined
  }

  #limits(value: unknown): PayloadLimits {
    if (value === undefined) return DEFAULT_LIMITS
    const object = this.#object(value, 'limits', Object.keys(DEFAULT_LIMITS))
    if (object === undefined) return DEFAULT_LIMITS
    const limit = (key: keyof PayloadLimits): number => {
      const given = object[key] ?? DEFAULT_LIMITS[key]
      if (Number.isInteger(given) && Number(given) >= 1 && Number(given) <= LIMITS_MAX[key]) {
        return Number(given)
      }
      this.#say(`limits.${key}`, `is ${shorten(given)}, expected 1 … ${LIMITS_MAX[key]}`)
      return DEFAULT_LIMITS[key]
    }
    return { maxBytes: limit('maxBytes'), maxDepth: limit('maxDepth'), maxItems: limit('maxItems') }
  }
}
