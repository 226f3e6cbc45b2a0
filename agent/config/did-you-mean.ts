// The nearest known name to a misspelt key, variable or command.

import { nearest as nearestWord } from '../../devices/suggestion.ts'

/** Letters only, so that `bootstrap.servers`, `bootstrap_servers` and `bootstrapServers` are one. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** The known name that a misspelt one most likely means; undefined when none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const byPlain = new Map(Array.from(known, (candidate) => [plain(candidate), candidate]))
  const near = nearestWord(plain(name), [...byPlain.keys()])
  return near === undefined ? undefined : byPlain.get(near)
}

/** `; did you mean x?` or nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const near = nearest(name, known)
  return near === undefined ? '' : `; did you mean ${near}?`
}
