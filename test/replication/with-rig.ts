// Registers a test that runs with a rig of its own, which is closed whatever happens.

import type { Suite } from '../support/suite.ts'
import { ReplicationRig, type RigOptions } from './rig.ts'

export type RigTest = (
  title: string,
  run: (rig: ReplicationRig) => Promise<void>,
  options?: RigOptions,
) => void

export function rigTests(test: Suite): RigTest {
  return (title, run, options = {}) =>
    test(title, async () => {
      const rig = await ReplicationRig.open(options)
      try {
        await run(rig)
      } finally {
        await rig.close()
      }
    })
}
