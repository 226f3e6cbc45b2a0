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

/** Two leading units: `3d 04h`, `2h 05m`, `12s`; the second only when there is some: `2h`. */
export function formatAge(seconds: number): string {
  const whole = Math.floor(seconds)
  const units: [count: number, unit: string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3_600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ]
  const first = units.findIndex(([count]) => count > 0)
  if (first < 0) return '0s'
  const [[count, unit], next] = [units[first]!, units[first + 1]]
  const rest =
    next === undefined || next[0] === 0 ? '' : ` ${String(next[0]).padStart(2, '0')}${next[1]}`
  return `${count}${unit}${rest}`
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
