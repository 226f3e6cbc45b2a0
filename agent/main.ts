#!/usr/bin/env node
// The command `tributary`. This file must parse on any Node: it looks at the version before anything
// newer is loaded, so no static import, no top-level await, no syntax younger than 2017 here.

const [major, minor] = process.versions.node.split('.').map(Number)

if (major! < 20 || (major === 20 && minor! < 19)) {
  console.error(`needs Node ≥ 20.19, this is ${major}.${minor}`)
  process.exit(2)
} else {
  import('./cli/process.ts').then((cli) => cli.runProcess(process.argv.slice(2)))
}
