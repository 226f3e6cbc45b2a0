// Topic filters of many clients, and which of them a topic name matches.

import { LEVELS_MAX } from './mqtt-text.ts'

interface Node {
  readonly children: Map<string, Node>
  /** Client id → QoS of the subscriptions that end here. */
  readonly subscribers: Map<string, number>
}

function newNode(): Node {
  return { children: new Map(), subscribers: new Map() }
}

export class FilterTree {
  readonly #root = newNode()
  size = 0

  add(filter: string, clientId: string, qos: number): void {
    let node = this.#root
    for (const level of filter.split('/', LEVELS_MAX)) {
      let child = node.children.get(level)
      if (child === undefined) {
        child = newNode()
        node.children.set(level, child)
      }
      node = child
    }
    if (!node.subscribers.has(clientId)) this.size++
    node.subscribers.set(clientId, qos)
  }

  remove(filter: string, clientId: string): void {
    const path: [parent: Node, level: string][] = []
    let node = this.#root
    for (const level of filter.split('/', LEVELS_MAX)) {
      const child = node.children.get(level)
      if (child === undefined) return
      path.push([node, level])
      node = child
    }
    if (!node.subscribers.delete(clientId)) return
    this.size--
    for (const [parent, level] of path.reverse()) {
      const child = parent.children.get(level)!
      if (child.children.size > 0 || child.subscribers.size > 0) return
      parent.children.delete(level)
    }
  }

  /** Client id → highest QoS among its filters that match [MQTT-3.3.5-1]. */
  match(mqttTopic: string): Map<string, number> {
    const found = new Map<string, number>()
    if (this.size > 0) collect(this.#root, mqttTopic.split('/'), 0, found)
    return found
  }
}

function collect(
  node: Node,
  levels: readonly string[],
  depth: number,
  found: Map<string, number>,
): void {
  // Neither # nor a leading + takes a topic that begins with $ [MQTT-4.7.2-1].
  const hidden = depth === 0 && levels[0]!.startsWith('$')
  const rest = hidden ? undefined : node.children.get('#')
  if (rest !== undefined) take(rest, found)
  if (depth === levels.length) {
    take(node, found)
    return
  }
  const literal = node.children.get(levels[depth]!)
  if (literal !== undefined) collect(literal, levels, depth + 1, found)
  const one = hidden ? undefined : node.children.get('+')
  if (one !== undefined) collect(one, levels, depth + 1, found)
}

function take(node: Node, found: Map<string, number>): void {
  for (const [clientId, qos] of node.subscribers) {
    if (qos >= (found.get(clientId) ?? 0)) found.set(clientId, qos)
  }
}

/** True when the filter with these levels takes the topic name. */
export function filterMatches(filter: readonly string[], mqttTopic: string): boolean {
  if (mqttTopic.startsWith('$') && (filter[0] === '#' || filter[0] === '+')) return false
  const levels = mqttTopic.split('/')
  for (const [index, level] of filter.entries()) {
    if (level === '#') return levels.length >= index
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return filter.length === levels.length
}
