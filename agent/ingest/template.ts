// Templates of a route: text with {names}.
//
//   {name}                 a level that the route's mqttTopic names
//   {gateway} {clientId} {username} {mqttTopic}
//   {payload.path.to.field}   a field of a JSON payload
//
// - A name the route does not know is an error when the configuration is read, never at a message.
// - A value that is missing (no such field, not JSON, no user name) makes the whole template missing.

export interface TemplateValues {
  readonly gateway: string
  readonly clientId: string
  readonly username: string | undefined
  readonly mqttTopic: string
  /** In the order of the pattern's names. */
  readonly captures: readonly string[]
  /** The parsed payload, undefined when it is not JSON. */
  readonly payload: unknown
}

const FIXED = ['gateway', 'clientId', 'username', 'mqttTopic'] as const
type FixedName = (typeof FIXED)[number]

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'fixed'; readonly name: FixedName }
  | { readonly kind: 'capture'; readonly index: number }
  | { readonly kind: 'payload'; readonly path: readonly string[] }

export class Template {
  readonly text: string
  readonly usesClient: boolean
  readonly usesPayload: boolean
  /** Its value may differ between messages. */
  readonly usesNames: boolean
  readonly #parts: readonly Part[]

  private constructor(text: string, parts: readonly Part[]) {
    this.text = text
    this.#parts = parts
    this.usesPayload = parts.some((part) => part.kind === 'payload')
    this.usesNames = parts.some(
      (part) => part.kind !== 'text' && !(part.kind === 'fixed' && part.name === 'gateway'),
    )
    this.usesClient = parts.some(
      (part) => part.kind === 'fixed' && (part.name === 'clientId' || part.name === 'username'),
    )
  }

  /** The template, or the end of a sentence that says what is wrong. `names`: the pattern's. */
  static parse(text: string, names: readonly string[]): Template | string {
    const parts: Part[] = []
    let position = 0
    for (const found of text.matchAll(/\{([^{}]*)\}/g)) {
      const literal = text.slice(position, found.index)
      if (/[{}]/.test(literal)) return 'has an unmatched { or }'
      if (literal !== '') parts.push({ kind: 'text', text: literal })
      const part = parsePlaceholder(found[1]!, names)
      if (typeof part === 'string') return part
      parts.push(part)
      position = found.index + found[0].length
    }
    const rest = text.slice(position)
    if (/[{}]/.test(rest)) return 'has an unmatched { or }'
    if (rest !== '') parts.push({ kind: 'text', text: rest })
    return new Template(text, parts)
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0
  }

  /** The text with its values, or undefined when one is missing. */
  render(values: TemplateValues): string | undefined {
    let text = ''
    for (const part of this.#parts) {
      const value = partValue(part, values)
      if (value === undefined) return undefined
      text += value
    }
    return text
  }

  /** The value itself where the template is one payload field, else the rendered text. */
  value(values: TemplateValues): unknown {
    const [only, second] = this.#parts
    if (only?.kind === 'payload' && second === undefined) return fieldOf(values.payload, only.path)
    return this.render(values)
  }
}

function parsePlaceholder(name: string, names: readonly string[]): Part | string {
  const index = names.indexOf(name)
  if (index >= 0) return { kind: 'capture', index }
  const fixed = FIXED.find((known) => known === name)
  if (fixed !== undefined) return { kind: 'fixed', name: fixed }
  const [head, ...path] = name.split('.')
  if (head === 'payload' && path.length > 0 && path.every((step) => step !== '')) {
    return { kind: 'payload', path }
  }
  const known = [...names, ...FIXED, 'payload.field'].map((each) => `{${each}}`)
  return `knows no {${name}}; it may use ${known.join(' ')}`
}

function partValue(part: Part, values: TemplateValues): string | undefined {
  switch (part.kind) {
    case 'text':
      return part.text
    case 'fixed':
      return values[part.name]
    case 'capture':
      return values.captures[part.index]
    case 'payload': {
      const field = fieldOf(values.payload, part.path)
      return typeof field === 'object' || field === undefined ? undefined : String(field)
    }
  }
}

function fieldOf(payload: unknown, path: readonly string[]): unknown {
  let value = payload
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value ?? undefined
}
