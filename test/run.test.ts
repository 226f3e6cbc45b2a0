// The runner on bad samples: every way in which uvu stays green, or never ends, must be a failure.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as assert from 'uvu/assert'
import { judge, type Outcome, runFile } from './run.ts'
import { suite } from './support/suite.ts'

const test = suite('run')
const folder = mkdtempSync(join(tmpdir(), 'tributary-run-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const UVU = import.meta.resolve('uvu')
const SUITE = pathToFileURL('test/support/suite.ts').href

/** Each sample is a whole test file. The first one is good; the runner must see what is wrong with the others. */
const SAMPLES = {
  good: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => {}); test('b', async () => {}); test.run()`,
  hookThrows: `import { suite } from '${UVU}'
    const test = suite('s'); test.before(() => { throw new Error('x') })
    test('a', () => {}); test('b', () => {}); test.run()`,
  afterThrows: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => {}); test.after(() => { throw new Error('x') }); test.run()`,
  rejectsUndefinedBare: `import { suite } from '${UVU}'
    const test = suite('s'); test('a', () => Promise.reject()); test('b', () => {}); test.run()`,
  rejectsUndefined: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => Promise.reject()); test('b', () => {}); test.run()`,
  forgottenRun: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => {})`,
  // The mark that hides the other tests is what this sample is for: the runner must refuse it.
  leftOverOnly: `import { suite } from '${UVU}'
    const it = suite('s'); it('a', () => {}); it.only('b', () => {}); it.run()`,
  hangingHandle: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => { setInterval(() => {}, 1000) }); test.run()`,
  neverSettles: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => new Promise(() => {}), { timeoutMs: 50 })
    test('b', () => {}); test.run()`,
  throwsLater: `import { suite } from '${SUITE}'
    const test = suite('s'); test('a', () => {}); test.run()
    setTimeout(() => { throw new Error('after the summary') }, 300)`,
  broken: 'this is not a program',
}
type Sample = keyof typeof SAMPLES

let outcomes: Promise<Record<Sample, Outcome>> | undefined

/** All samples, each run once, two at a time. */
function runSamples(): Promise<Record<Sample, Outcome>> {
  outcomes ??= (async () => {
    const names = Object.keys(SAMPLES) as Sample[]
    const queue = [...names]
    const found = {} as Record<Sample, Outcome>
    const worker = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        const path = join(folder, `${name}.mts`)
        writeFileSync(path, SAMPLES[name])
        found[name] = await runFile(path, name === 'hangingHandle' ? 3 : 20)
      }
    }
    await Promise.all([worker(), worker()])
    return found
  })()
  return outcomes
}

function sampleTest(title: string, name: Sample, check: (outcome: Outcome) => void): void {
  test(title, async () => check((await runSamples())[name]), { timeoutMs: 55_000 })
}

const fails = (pattern: RegExp) => (outcome: Outcome) => {
  assert.match(outcome.reason ?? 'passed', pattern, outcome.output)
  assert.ok(outcome.failed >= 1, `failed ${outcome.failed}`)
}

sampleTest('a good file passes with its tests counted', 'good', (outcome) => {
  assert.is(outcome.reason, undefined, outcome.output)
  assert.equal([outcome.passed, outcome.failed], [2, 0])
})
sampleTest('a hook that throws fails', 'hookThrows', fails(/2 of 2 failed/))
sampleTest(
  'a hook that throws after the tests fails',
  'afterThrows',
  fails(/exit|no summary|failed/),
)
sampleTest(
  'a bare uvu test that rejects with undefined fails',
  'rejectsUndefinedBare',
  fails(/failed|no summary/),
)
sampleTest('the suite turns a rejection with undefined into a failure', 'rejectsUndefined', (o) => {
  assert.is(o.reason, '1 of 2 failed', o.output)
  assert.is(o.passed, 1)
})
sampleTest('a forgotten run fails', 'forgottenRun', fails(/no test ran|no summary/))
sampleTest('a left-over .only fails', 'leftOverOnly', fails(/skipped by uvu|failed/))
sampleTest(
  'a handle left open fails at the limit',
  'hangingHandle',
  fails(/still running after 3 s/),
)
sampleTest('a promise that never settles fails its test, not the others', 'neverSettles', (o) => {
  assert.is(o.reason, '1 of 2 failed', o.output)
  assert.is(o.passed, 1)
})
sampleTest('a throw after the summary fails', 'throwsLater', fails(/exit 1/))
sampleTest('a file that does not parse fails', 'broken', fails(/no summary \(exit 1\)/))

const summary = (total: number, passed: number, skipped: number) =>
  `\n  Total:     ${total}\n  \x1b[32mPassed:    ${passed}\x1b[39m\n  Skipped:   ${skipped}\n`

test('the exit code counts only against a file', () => {
  assert.is(judge('a', summary(2, 2, 0), 0).reason, undefined)
  assert.is(judge('a', summary(2, 2, 0), 1).reason, 'exit 1')
  assert.is(judge('a', summary(2, 1, 0), 0).reason, '1 of 2 failed')
  assert.is(judge('a', summary(2, 2, 0), null).reason, 'exit null')
})

test('a summary printed by a test is not the summary', () => {
  const outcome = judge('a', `${summary(9, 9, 0)}more${summary(3, 2, 0)}`, 0)
  assert.equal([outcome.passed, outcome.failed], [2, 1])
})

test.run()
