// The ceiling of the load generator: acks every PUBLISH as soon as its bytes are there, keeps
// nothing, knows no topics. Not a peer; it proves that a measured server is the limit.
//
//   node --import tsx test/bench/bare-acks.ts PORT

import { createServer } from 'node:net'
import { PACKET, shortPackets } from '../support/mqtt-packets.ts'

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const out: Buffer[] = []
    const ids: number[] = []
    let position = 0
    while (data.length - position >= 2) {
      const isLong = data[position + 1]! > 127
      if (isLong && data.length - position < 3) break
      const size = isLong
        ? (data[position + 1]! & 127) | (data[position + 2]! << 7)
        : data[position + 1]!
      const body = position + (isLong ? 3 : 2)
      if (data.length < body + size) break
      const first = data[position]!
      if (first === 0x10) out.push(Buffer.from([PACKET.connack, 2, 0, 0]))
      else if (first === PACKET.pingreq) out.push(Buffer.from([PACKET.pingresp, 0]))
      else if (first === PACKET.pubrel) {
        out.push(shortPackets(PACKET.pubcomp, [data.readUInt16BE(body)]))
      } else if (first & 0x06) {
        const id = data.readUInt16BE(body + 2 + data.readUInt16BE(body))
        if (first & 4) out.push(shortPackets(PACKET.pubrec, [id]))
        else ids.push(id)
      }
      position = body + size
    }
    rest = position === data.length ? Buffer.alloc(0) : Buffer.from(data.subarray(position))
    if (ids.length > 0) out.push(shortPackets(PACKET.puback, ids))
    if (out.length > 0) socket.write(out.length === 1 ? out[0]! : Buffer.concat(out))
  })
})
server.listen(Number(process.argv[2]), '127.0.0.1')
