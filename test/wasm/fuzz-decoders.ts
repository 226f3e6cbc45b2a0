// npm run fuzz -- --frames 10000000 --seed 1 [--decoder zstd|lz4|snappy|records]

import { parseArgs } from 'node:util'
import { fuzz, TARGETS } from './fuzz-targets.ts'

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    decoder: { type: 'string' },
  },
})

const targets = TARGETS.filter((target) => target === (values.decoder ?? target))
if (targets.length === 0) throw new Error(`--decoder is one of ${TARGETS.join(', ')}`)

for (const target of targets) {
  const { frames, accepted, framesPerSecond } = fuzz(
    target,
    Number(values.frames),
    Number(values.seed),
  )
  const share = ((100 * accepted) / frames).toFixed(1)
  console.log(
    `${target}: ${frames} damaged frames, seed ${values.seed}: ${share} % read, ` +
      `the others refused; ${framesPerSecond} frames/s`,
  )
}
