// The `mqttTopic` of a route: levels that are a literal, {name}, {name...}, + or #.
//
// - {name} is one level, {name...} the rest (at least one level); # also takes its parent level and
//   neither it nor a leading + or {name} takes a topic that begins with $ [MQTT-4.7.1-2, 4.7.2-1].
// - A pattern can be asked whether it takes everything that another one takes: that is what makes a
//   later route unreachable.

const PLACEHOLDER = /^\{([A-Za-z][A-Za-z0-9_]*)(\.\.\.)?\}$/

type Level =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly name: string | undefined }
  | { readonly kind: 'rest'; readonly name: string | undefined }

export class TopicPattern {
  readonly text: string
  /** In the order in which `match` returns their values. */
  readonly names: readonly string[]
  readonly #levels: readonly Level[]

  private constructor(text: string, levels: readonly Level[]) {
    this.text = text
    this.#levels = levels
    this.names = levels.flatMap((level) =>
      level.kind !== 'literal' && level.name !== undefined ? [level.name] : [],
    )
  }

  /** The pattern, or the end of a sentence that says what is wrong with it. */
  static parse(text: string): TopicPattern | string {
    if (text === '') return 'is empty'
    const parts = text.split('/')
    const levels: Level[] = []
    for (const [index, part] of parts.entries()) {
      const level = parseLevel(part)
      if (typeof level === 'string') return level
      if (level.kind === 'rest' && index !== parts.length - 1) return `: ${part} must be last`
      levels.push(level)
    }
    const pattern = new TopicPattern(text, levels)
    const twice = pattern.names.find((name, index) => pattern.names.indexOf(name) !== index)
    return twice === undefined ? pattern : `names {${twice}} twice`
  }

  /** The values of the names, or undefined when the topic does not fit. */
  match(mqttTopic: string): string[] | undefined {
    if (mqttTopic.startsWith('$') && this.#levels[0]!.kind !== 'literal') return undefined
    const values: string[] = []
    let position = 0
    for (const level of this.#levels) {
      const isOver = position > mqttTopic.length
      if (level.kind === 'rest') {
        if (isOver) return level.name === undefined ? values : undefined
        if (level.name !== undefined) values.push(mqttTopic.slice(position))
        return values
      }
      if (isOver) return undefined
      const slash = mqttTopic.indexOf('/', position)
      const part = mqttTopic.slice(position, slash < 0 ? undefined : slash)
      if (level.kind === 'literal' && level.text !== part) return undefined
      if (level.kind === 'one' && level.name !== undefined) values.push(part)
      position += part.length + 1
    }
    return position > mqttTopic.length ? values : undefined
  }

  /** True when every topic that `other` takes is taken by this pattern. */
  covers(other: TopicPattern): boolean {
    const [mine, theirs] = [this.#levels, other.#levels]
    const theirFirst = theirs[0]!
    if (theirFirst.kind === 'literal' && theirFirst.text.startsWith('$')) {
      if (mine[0]!.kind !== 'literal') return false
    }
    for (const [index, level] of mine.entries()) {
      const their = theirs[index]
      if (level.kind === 'rest') {
        // `a/#` takes `a`, `a/{rest...}` does not.
        return their === undefined
          ? level.name === undefined
          : level.name === undefined || their.kind !== 'rest' || their.name !== undefined
      }
      if (their === undefined || their.kind === 'rest') return false
      if (level.kind === 'literal' && (their.kind !== 'literal' || their.text !== level.text)) {
        return false
      }
    }
    return mine.length === theirs.length
  }

  /** How far a topic is from fitting: 0 fits, a level that is all wrong counts 1. */
  distance(mqttTopic: string): number {
    const parts = mqttTopic.split('/')
    let distance = 0
    for (const [index, level] of this.#levels.entries()) {
      if (level.kind === 'rest') return distance
      const part = parts[index]
      if (part === undefined) distance += 1
      else if (level.kind === 'literal') distance += unlikeness(level.text, part)
    }
    return distance + Math.max(0, parts.length - this.#levels.length)
  }
}

function parseLevel(part: string): Level | string {
  const placeholder = PLACEHOLDER.exec(part)
  if (placeholder !== null) {
    return { kind: placeholder[2] === undefined ? 'one' : 'rest', name: placeholder[1]! }
  }
  if (part === '+') return { kind: 'one', name: undefined }
  if (part === '#') return { kind: 'rest', name: undefined }
  if (/[{}]/.test(part)) return `: ${part} is not {name}; a name stands for a whole level`
  if (/[+#]/.test(part)) return `: ${part} mixes a wildcard with text; it stands for a whole level`
  if (part.includes('\0')) return 'holds a NUL'
  return { kind: 'literal', text: part }
}

/** Edits between two words as a share of the longer one, 0 … 1. */
function unlikeness(a: string, b: string): number {
  if (a === b) return 0
  if (a.length > 40 || b.length > 40) return 1
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]! / Math.max(a.length, b.length)
}
