// MQTT topic templates and key templates of a profile, parsed once.
//
//   topic   tele/{device}/SENSOR      {name} = one level, {name...} = the rest; + and # work too
//   key     {device}-{payload.id}     names of the topic, {payload.path.to.field}, {mqttTopic}
//
// A name stands for a whole level, so that matching is a walk over the levels and never a search.

export interface TopicTemplate {
  readonly text: string
  readonly names: readonly string[]
  /** The values of the names, or undefined when the topic does not fit. */
  match(mqttTopic: string): ReadonlyMap<string, string> | undefined
}

export type KeyPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'payload'; readonly text: string; readonly path: readonly string[] }

const NAME = /^\{([A-Za-z][A-Za-z0-9_]*)(\.\.\.)?\}$/

type Level =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly name: string | undefined }
  | { readonly kind: 'rest'; readonly name: string | undefined }

/** The parsed template, or a sentence that says what is wrong with it. */
export function parseTopicTemplate(text: string): TopicTemplate | string {
  if (text === '') return 'is empty'
  if (text.includes('\0')) return 'holds a NUL character'
  const levels: Level[] = []
  const names: string[] = []
  const parts = text.split('/')
  for (const [index, part] of parts.entries()) {
    const named = NAME.exec(part)
    const level = levelOf(part, named)
    if (typeof level === 'string') return level
    if (level.kind === 'rest' && index !== parts.length - 1) return `${part} must be the last level`
    if (named !== null) {
      if (names.includes(named[1]!)) return `{${named[1]}} stands there twice`
      names.push(named[1]!)
    }
    levels.push(level)
  }
  return { text, names, match: (mqttTopic: string) => matchLevels(levels, mqttTopic) }
}

function levelOf(part: string, named: RegExpExecArray | null): Level | string {
  if (named !== null) {
    return { kind: named[2] === undefined ? 'one' : 'rest', name: named[1]! }
  }
  if (part === '+') return { kind: 'one', name: undefined }
  if (part === '#') return { kind: 'rest', name: undefined }
  if (/[{}]/.test(part)) return `${part}: a {name} stands for a whole level between two slashes`
  if (/[+#]/.test(part)) return `${part}: + and # stand for a whole level between two slashes`
  return { kind: 'literal', text: part }
}

function matchLevels(levels: readonly Level[], mqttTopic: string): Map<string, string> | undefined {
  const values = new Map<string, string>()
  let position = 0
  for (const level of levels) {
    // A trailing # also fits the parent level [MQTT-4.7.1-2]; a {name...} needs something to name.
    if (level.kind === 'rest') {
      if (position > mqttTopic.length) return level.name === undefined ? values : undefined
      if (level.name !== undefined) values.set(level.name, mqttTopic.slice(position))
      return values
    }
    if (position > mqttTopic.length) return undefined
    const slash = mqttTopic.indexOf('/', position)
    const end = slash < 0 ? mqttTopic.length : slash
    if (level.kind === 'literal') {
      if (end - position !== level.text.length || !mqttTopic.startsWith(level.text, position)) {
        return undefined
      }
    } else if (level.name !== undefined) {
      values.set(level.name, mqttTopic.slice(position, end))
    }
    position = end + 1
  }
  return position > mqttTopic.length ? values : undefined
}

/** The parts of a key template, or a sentence that says what is wrong with it. */
export function parseKeyTemplate(text: string, names: readonly string[]): KeyPart[] | string {
  const parts: KeyPart[] = []
  let position = 0
  while (position < text.length) {
    const open = text.indexOf('{', position)
    const literal = text.slice(position, open < 0 ? undefined : open)
    if (literal.includes('}')) return 'has a } without its {'
    if (literal !== '') parts.push({ kind: 'text', text: literal })
    if (open < 0) break
    const close = text.indexOf('}', open)
    if (close < 0) return 'has a { without its }'
    const name = text.slice(open + 1, close)
    const part = keyPart(name, names)
    if (typeof part === 'string') return part
    parts.push(part)
    position = close + 1
  }
  return parts.length === 0 ? 'is empty' : parts
}

function keyPart(name: string, names: readonly string[]): KeyPart | string {
  if (name.startsWith('payload.') && name.length > 'payload.'.length) {
    return { kind: 'payload', text: name, path: name.split('.').slice(1) }
  }
  if (name === 'mqttTopic' || names.includes(name)) return { kind: 'name', name }
  const known = [...names.map((known) => `{${known}}`), '{mqttTopic}', '{payload.path}']
  return `{${name}} is not known; it may use ${known.join(', ')}`
}
