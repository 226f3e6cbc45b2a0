// The benches: figures beside what a user would take instead, as markdown tables.
//
//   npm run bench                     MQTT in (all cases)
//   npm run bench -- "QoS 1"          the cases whose name contains this
//   npm run bench -- drain            a backlog of 1,000,000 records into a real Kafka
//   npm run bench -- start            start-up, idle cost, memory
//   npm run bench -- flash             device bytes per payload byte, beside SQLite
//   npm run bench -- log               group commit, beside SQLite and Kafka
//   npm run bench -- read             verify, fetch and a start, beside a plain read loop
//   npm run bench -- wasm              the kernels, beside native add-ons (--write: into wasm/README.md)
//   npm run bench -- loader           what the load generator itself can drive
//
//   --seconds N  of each case (default 5)   --rounds N  (default 3, of wasm 15)   --servers a,b,c
//   --messages N  of the drain's backlog (default 1,000,000)
//
// Exit code 1 when a floor is missed. Nothing here is a test: machines differ, ratios less.

import { parseArgs } from 'node:util'
import { benchDrain } from './drain-bench.ts'
import { benchFlash } from './flash-bench.ts'
import { benchGroupCommit } from './group-commit-bench.ts'
import { benchIngest } from './ingest-bench.ts'
import { benchRead } from './read-bench.ts'
import type { ServerName } from './servers.ts'
import { benchStart } from './start-bench.ts'
import { benchWasm } from './wasm-bench.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string' },
    servers: { type: 'string', default: 'mosquitto,naive,tributary' },
    messages: { type: 'string', default: '1000000' },
    write: { type: 'boolean', default: false },
  },
})

const name = positionals[0] ?? ''
const seconds = Number(values.seconds)
const rounds = Number(values.rounds ?? (name === 'wasm' ? 15 : 3))

let missed = 0
if (name === 'drain') missed = await benchDrain({ messages: Number(values.messages) })
else if (name === 'start') missed = await benchStart({ seconds, rounds })
else if (name === 'flash') missed = await benchFlash({ seconds, rounds })
else if (name === 'log') missed = await benchGroupCommit({ seconds, rounds })
else if (name === 'read') missed = await benchRead({ rounds, messages: Number(values.messages) })
else if (name === 'wasm') missed = await benchWasm({ rounds, write: values.write })
else if (name === 'loader') {
  await benchIngest({ seconds, rounds, servers: ['bare'], pattern: '' })
} else {
  const servers = values.servers.split(',') as ServerName[]
  missed = await benchIngest({ seconds, rounds, servers, pattern: name })
}
process.exit(missed === 0 ? 0 : 1)
