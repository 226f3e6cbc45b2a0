// Two copies of each checkpoint: which of them rots makes no difference, whatever the journal has used
// again since.

import * as assert from 'uvu/assert'
import {
  append,
  checkpointsOf,
  contents,
  journalsOf,
  newStore,
  open,
  partitionOf,
  upTo,
} from '../support/recovered-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('checkpoint')

test('one that rots costs nothing, also when a file was begun again and no checkpoint has followed', async () => {
  const { fs, log } = await newStore(23, 900)
  const newest = () => Math.max(...journalsOf(fs).map(({ generation }) => generation))
  const generation = newest()
  for (let count = 0; count < 1000; count++) fs.failNext('write', { path: 'checkpoint-' })
  let records = 900
  for (; newest() === generation; records += 5) await append(log, partitionOf(log), 5)
  log.state.put('key', Buffer.from('value'))
  await log.durable(log.openCommit)
  const killed = fs.kill()
  killed.failNoMore()
  const copies = checkpointsOf(killed)
  assert.is(copies.length, 2)
  for (const [order, { path }] of copies.entries()) {
    const rotten = killed.clone(order)
    rotten.rot(path, 60)
    const { log: again, lines } = await open(rotten)
    assert.is(lines.length, 1, lines.join())
    assert.match(lines[0]!, /does not hold; the other copy and the journal are used/)
    assert.equal(await contents(partitionOf(again)), upTo(records))
    assert.is(again.state.get('key')?.toString(), 'value')
    assert.is(again.state.get('session/c')?.toString(), '[]')
    await again.close()
  }
})

test.run()
