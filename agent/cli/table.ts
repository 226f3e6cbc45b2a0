// Aligned columns and numbers for people.

/** Columns two spaces apart, left-aligned; `least` are minimum widths. No trailing spaces. */
export function table(
  rows: readonly (readonly string[])[],
  least: readonly number[] = [],
): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? least[column] ?? 0, cell.length)
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}

/** 840,112 */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Two leading units: `3d 04h`, `2h 05m`, `12s`; whole ones alone: `2h`. */
export function formatAge(seconds: number): string {
  const whole = Math.floor(seconds)
  const units: [string, number, number][] = [
    ['d', 86_400, 24],
    ['h', 3_600, 60],
    ['m', 60, 60],
  ]
  const next: Record<string, [string, number]> = { d: ['h', 3_600], h: ['m', 60], m: ['s', 1] }
  for (const [unit, size, limit] of units) {
    if (whole < size) continue
    const [small, smallSize] = next[unit]!
    const rest = Math.floor(whole / smallSize) % limit
    const tail = rest === 0 ? '' : ` ${String(rest).padStart(2, '0')}${small}`
    return `${Math.floor(whole / size)}${unit}${tail}`
  }
  return `${whole}s`
}

/** 0.4 s, 6 ms, 12 s */
export function formatSeconds(seconds: number): string {
  if (seconds > 0 && seconds < 0.1) return `${trimmed(seconds * 1000)} ms`
  return `${trimmed(seconds)} s`
}

/** One decimal below 10, none above; never `1.0`. */
export function trimmed(value: number): string {
  return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value))
}

const SIZES: [string, number][] = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
]

/** The unit that suits `bytes`. */
export function sizeUnit(bytes: number): [string, number] {
  return SIZES.find(([, size]) => bytes >= size) ?? ['B', 1]
}

export function formatSize(bytes: number): string {
  const [unit, size] = sizeUnit(bytes)
  return `${size === 1 ? bytes : (bytes / size).toFixed(1)} ${unit}`
}
