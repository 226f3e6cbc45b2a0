// Where sequential readers of one segment go on, remembered to save them the search. A few, the newest.

const PLACES_MAX = 8

export class ResumePlaces {
  readonly #positions = new Map<number, number>()

  positionOf(offset: number): number | undefined {
    return this.#positions.get(offset)
  }

  add(offset: number, position: number): void {
    this.#positions.set(offset, position)
    if (this.#positions.size <= PLACES_MAX) return
    this.#positions.delete(this.#positions.keys().next().value!)
  }
}
