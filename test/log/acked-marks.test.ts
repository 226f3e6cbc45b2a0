import * as assert from 'uvu/assert'
import { AckedMarks } from '../../agent/log/acked-marks.ts'
import { suite } from '../support/suite.ts'

const test = suite('acked marks')
const HOUR = 3_600_000
const DAY = 24 * HOUR

test('says when an offset was acked, never too early and at most an eighth of the window too late', () => {
  const marks = new AckedMarks(DAY)
  for (let hour = 1; hour <= 48; hour++) marks.note(hour * 100, hour * HOUR)
  for (let hour = 24; hour <= 46; hour++) {
    const told = marks.timeOf(hour * 100)!
    assert.ok(told >= hour * HOUR, `offset of hour ${hour}: ${told / HOUR}`)
    assert.ok(told <= (hour + 3) * HOUR, `offset of hour ${hour}: ${told / HOUR}`)
  }
})

test('knows nothing of what was not acked, or only a moment ago', () => {
  const marks = new AckedMarks(DAY)
  assert.is(marks.timeOf(1), undefined)
  marks.note(100, HOUR)
  marks.note(200, HOUR + 1)
  assert.is(marks.timeOf(100), HOUR)
  assert.is(marks.timeOf(200), undefined)
})

test('stays small however long it goes on, and survives as bytes', () => {
  const marks = new AckedMarks(DAY)
  for (let minute = 0; minute < 100_000; minute += 7) marks.note(minute * 999, minute * 60_000)
  assert.ok(marks.toBytes().length < 400, `${marks.toBytes()}`)
  const again = AckedMarks.from(DAY, marks.toBytes())
  assert.equal(again.toBytes(), marks.toBytes())
  assert.is(again.timeOf(99_000 * 999), marks.timeOf(99_000 * 999))
})

test('what is older than the window stays known', () => {
  const marks = new AckedMarks(DAY)
  marks.note(100, 0)
  marks.note(200, 10 * DAY)
  assert.is(marks.timeOf(100), 0)
  marks.note(300, 12 * DAY)
  assert.ok(marks.timeOf(100)! <= 10 * DAY)
})

test('an upstream that goes back, a clock that goes back, and no window', () => {
  const marks = new AckedMarks(DAY)
  marks.note(200, 5 * DAY)
  assert.not(marks.note(100, 6 * DAY))
  assert.ok(marks.note(300, 2 * DAY))
  const none = new AckedMarks(0)
  assert.ok(none.note(1, 0))
  assert.ok(none.note(2, 0))
})

test.run()
