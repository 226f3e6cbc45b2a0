// The peer a user would write: bare aedes with one shared append file. authorizePublish waits for
// a writev and an fdatasync that all messages of the moment share; the packet goes to whoever
// subscribes afterwards. No order of packets, no QoS 2 state, no bound on memory.
//
//   node --import tsx test/bench/naive-aedes.ts PORT FILE

import { closeSync, fdatasync, openSync, writev } from 'node:fs'
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const [port, path] = [Number(process.argv[2]), process.argv[3]!]
const file = openSync(path, 'a')

let waiting: { bytes: Buffer[]; done: (error?: Error | null) => void }[] = []
let isCommitting = false

function commit(): void {
  if (isCommitting || waiting.length === 0) return
  isCommitting = true
  const group = waiting
  waiting = []
  const finish = (error: Error | null) => {
    isCommitting = false
    for (const { done } of group) done(error)
    commit()
  }
  // writev takes at most 1,024 buffers: one joined buffer is cheaper than the calls.
  const bytes = Buffer.concat(group.flatMap((message) => message.bytes))
  writev(file, [bytes], (error) => {
    if (error) finish(error)
    else fdatasync(file, finish)
  })
}

const broker = await Aedes.createBroker({
  authorizePublish(_client, packet, done) {
    const topic = Buffer.from(packet.topic)
    const payload = Buffer.from(packet.payload)
    const head = Buffer.allocUnsafe(8)
    head.writeUInt32BE(topic.length, 0)
    head.writeUInt32BE(payload.length, 4)
    waiting.push({ bytes: [head, topic, payload], done })
    commit()
  },
})

const server = createServer(broker.handle)
server.listen(port, '127.0.0.1')
process.on('SIGTERM', () => {
  closeSync(file)
  process.exit(0)
})
