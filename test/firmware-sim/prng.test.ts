import * as assert from 'uvu/assert'
import { Random } from '../../firmware-sim/prng.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/prng')

function draw(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.next())
}

test('the same seed draws the same, another seed another', () => {
  assert.equal(draw(new Random(7), 50), draw(new Random(7), 50))
  assert.not.equal(draw(new Random(7), 50), draw(new Random(8), 50))
})

test('a fork depends on its label, not on what was drawn before', () => {
  const [fresh, used] = [new Random(7), new Random(7)]
  draw(used, 100)
  assert.equal(draw(fresh.fork('a'), 20), draw(used.fork('a'), 20))
  assert.not.equal(draw(fresh.fork('a'), 20), draw(fresh.fork('b'), 20))
})

test('the draws are spread as they should be', () => {
  const random = new Random('spread')
  const draws = 20_000
  const buckets = new Array<number>(10).fill(0)
  let [normal, square, wait] = [0, 0, 0]
  for (let count = 0; count < draws; count++) {
    buckets[random.index(10)]!++
    const value = random.normal()
    normal += value
    square += value * value
    wait += random.exponential(5)
  }
  for (const bucket of buckets) assert.ok(Math.abs(bucket - draws / 10) < draws / 50, `${bucket}`)
  assert.ok(Math.abs(normal / draws) < 0.05)
  assert.ok(Math.abs(square / draws - 1) < 0.05)
  assert.ok(Math.abs(wait / draws - 5) < 0.25)
})

test.run()
