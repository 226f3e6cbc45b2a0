// Programmer errors crash the process; recovery at the next start is their handler.

/** Throws when an invariant is broken. Never use it for input or for I/O. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`)
}
