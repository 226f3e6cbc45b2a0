// What a simulation throws when the program under it does not do what it said. Any other error is a
// fault of somebody's program, perhaps of the simulation's own, and proves nothing.

export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
}
