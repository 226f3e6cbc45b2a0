// The names of a simulated disk: what programs see, what is on the platter, and the changes between.

import type { SimFile } from './sim-file.ts'

export class SimDirectory {
  readonly kind = 'directory'
  /** What programs see. */
  entries = new Map<string, SimNode>()
  /** What is on the platter. */
  durable = new Map<string, SimNode>()
}

export type SimNode = SimFile | SimDirectory

/** A change of names that no syncDirectory has made durable yet: one that goes, one that comes. */
export interface PendingChange {
  gone?: { directory: SimDirectory; name: string; node: SimNode }
  come?: { directory: SimDirectory; name: string; node: SimNode }
}

/** As a sync of its directories makes it, or a power cut by chance. */
export function applyChange({ gone, come }: PendingChange): void {
  if (gone !== undefined && gone.directory.durable.get(gone.name) === gone.node) {
    gone.directory.durable.delete(gone.name)
  }
  come?.directory.durable.set(come.name, come.node)
}

/** `copies`: what was cloned before, so that a file keeps its identity in both trees. */
export function cloneNode(node: SimNode, copies: Map<SimNode, SimNode>): SimNode {
  if (node.kind === 'directory') return cloneDirectory(node, copies)
  const copy = copies.get(node) ?? node.clone()
  copies.set(node, copy)
  return copy
}

export function cloneDirectory(
  directory: SimDirectory,
  copies: Map<SimNode, SimNode>,
): SimDirectory {
  const known = copies.get(directory)
  if (known?.kind === 'directory') return known
  const copy = new SimDirectory()
  copies.set(directory, copy)
  for (const [name, node] of directory.entries) copy.entries.set(name, cloneNode(node, copies))
  for (const [name, node] of directory.durable) copy.durable.set(name, cloneNode(node, copies))
  return copy
}

export function usedBytes(directory: SimDirectory): number {
  let bytes = 0
  for (const node of directory.entries.values()) {
    bytes += node.kind === 'file' ? node.size : usedBytes(node)
  }
  return bytes
}
