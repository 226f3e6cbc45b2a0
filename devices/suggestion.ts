// "Did you mean": the nearest known word, for sentences about files that people write by hand.

/** The known word at most a third of its length (and at most three edits) away, if any. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  const limit = Math.min(3, Math.max(1, Math.floor(word.length / 2)))
  return bestDistance <= limit ? best : undefined
}

/** One sentence for each key of `object` that is not known. */
export function unknownKeys(
  object: Readonly<Record<string, unknown>>,
  known: readonly string[],
  where: string,
): string[] {
  return Object.keys(object)
    .filter((key) => !known.includes(key))
    .map((key) => {
      const near = nearest(key, known)
      const hint = near === undefined ? `known: ${known.join(', ')}` : `did you mean ${near}?`
      return `${where}: unknown key ${shorten(key)}; ${hint}`
    })
}

/** Any value as text short enough for a sentence, control characters escaped. */
export function shorten(value: unknown, length = 40): string {
  if (value === undefined) return 'missing'
  let text: string | undefined
  if (typeof value === 'string' && value.length > length)
    text = JSON.stringify(value.slice(0, length))
  else if (typeof value === 'bigint') text = String(value)
  else if (typeof value === 'number') text = String(value)
  else if (ArrayBuffer.isView(value)) text = `${value.byteLength} bytes`
  else if (Array.isArray(value)) text = `a list of ${value.length}`
  else if (typeof value === 'object' && value !== null) text = 'an object'
  else text = JSON.stringify(value)
  text ??= String(value)
  return text.length > length + 2 ? `${text.slice(0, length)}…` : text
}

/** Optimal string alignment: a swap of two neighbours is one edit, as in most typing mistakes. */
function editDistance(a: string, b: string): number {
  if (a.length > 40 || b.length > 40) return a === b ? 0 : 40
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min(change, rows[i - 1]![j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, rows[i - 2]![j - 2]! + 1)
      }
      row.push(cost)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
