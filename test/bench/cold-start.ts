// What the first kernel of a fresh process costs, in milliseconds.

import { Kernel } from '../../wasm/kernel.ts'

const start = performance.now()
new Kernel()
console.log(performance.now() - start)
