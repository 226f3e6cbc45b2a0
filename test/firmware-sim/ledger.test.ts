import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { AckedLedger, Observations } from '../../firmware-sim/ledger.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/ledger')
const folder = mkdtempSync(join(tmpdir(), 'ledger-'))
test.after(() => rmSync(folder, { recursive: true }))

const sequence = fc.integer({ min: 1, max: 40 })
const events = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), sequence), { maxLength: 150 })

test('in order and complete is nothing to report', () => {
  const [acked, seen] = [new AckedLedger(), new Observations()]
  for (let number = 1; number <= 1_000; number++) {
    for (const device of ['a', 'b']) {
      acked.acked(device, number)
      seen.see(device, number)
    }
  }
  assert.equal(seen.report(acked), { seen: 2_000, lost: 0, twice: 0, outOfOrder: 0, examples: [] })
})

test('each kind of damage is counted as what it is', () => {
  const acked = new AckedLedger()
  for (let number = 1; number <= 6; number++) acked.acked('a', number)
  acked.acked('gone', 1)
  const seen = new Observations()
  for (const number of [1, 2, 4, 3, 2, 7]) seen.see('a', number)
  const report = seen.report(acked)
  assert.is(report.seen, 6)
  assert.is(report.lost, 3, '5 and 6 of a, 1 of gone')
  assert.is(report.twice, 1)
  assert.is(report.outOfOrder, 1)
  assert.equal(report.examples, [
    'a: 3 seen behind 4',
    'a: 2 seen twice',
    'a: 5 … 6 lost',
    'gone: 1 lost',
  ])
})

test('without a ledger of acks, lost are the gaps below the highest seen', () => {
  const seen = new Observations()
  for (const number of [2, 3, 6]) seen.see('a', number)
  assert.is(seen.report().lost, 3)
})

test('counts what a plain list would count, for any arrival', () => {
  fc.assert(
    fc.property(events, events, (acks, arrivals) => {
      const [acked, seen] = [new AckedLedger(), new Observations()]
      for (const [device, number] of acks) acked.acked(device, number)
      for (const [device, number] of arrivals) seen.see(device, number)
      let [twice, outOfOrder] = [0, 0]
      arrivals.forEach(([device, number], at) => {
        const before = arrivals.slice(0, at).filter(([other]) => other === device)
        const isAgain = before.some(([, earlier]) => earlier === number)
        if (isAgain) twice++
        else if (before.some(([, earlier]) => earlier > number)) outOfOrder++
      })
      const arrived = new Set(arrivals.map(String))
      const lost = [...new Set(acks.map(String))].filter((ack) => !arrived.has(ack)).length
      const report = seen.report(acked)
      assert.equal(
        [report.seen, report.lost, report.twice, report.outOfOrder],
        [arrivals.length, lost, twice, outOfOrder],
      )
      assert.ok(report.examples.length <= 10)
    }),
  )
})

test('a ledger file reads back as it was written', async () => {
  const path = join(folder, 'acked.jsonl')
  const ledger = new AckedLedger()
  for (const number of [1, 2, 3, 5]) ledger.acked('a', number)
  ledger.published('a', 6)
  ledger.published('b', 2)
  await ledger.write(path)
  assert.is(
    readFileSync(path, 'utf8'),
    '{"device":"a","published":6,"acked":[[1,3],[5,5]]}\n{"device":"b","published":2,"acked":[]}\n',
  )
  const again = await AckedLedger.read(path)
  assert.equal([...again.lines()], [...ledger.lines()])
  assert.is(again.size, 4)
})

test('a damaged ledger file is named with its line', async () => {
  const path = join(folder, 'bad.jsonl')
  const good = '{"device":"a","published":6,"acked":[[1,3]]}'
  const bad = [
    '{"device"',
    '{"device":"a","acked":[]}',
    '{"device":"a","published":1,"acked":[[1,1],[2,9]]}',
  ]
  bad.push('{"device":"a","published":1,"acked":[[3,1]]}', 'null')
  for (const line of bad) {
    writeFileSync(path, `${good}\n${line}\n`)
    try {
      await AckedLedger.read(path)
      assert.unreachable(line)
    } catch (error) {
      assert.is((error as { code?: string }).code, 'SIM_INPUT', String(error))
      assert.match((error as Error).message, `${path}:2: `)
    }
  }
})

test.run()
