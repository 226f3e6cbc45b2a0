import * as assert from 'uvu/assert'
import { BrokerConnection } from '../../../agent/kafka/client/broker-connection.ts'
import { kafkaErrorOf } from '../../../agent/kafka/client/kafka-fault.ts'
import {
  type SaslSettings,
  ScramClient,
  saslAuthenticator,
} from '../../../agent/kafka/client/sasl.ts'
import * as saslHandshake from '../../../agent/kafka/protocol/messages/17-sasl-handshake.ts'
import * as saslAuthenticate from '../../../agent/kafka/protocol/messages/36-sasl-authenticate.ts'
import { suite } from '../../support/suite.ts'
import { FakeBroker } from './fake-broker.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock } from './manual-clock.ts'

const test = suite('kafka sasl')

// The example exchange of RFC 7677 §3.
const RFC = {
  settings: { mechanism: 'SCRAM-SHA-256', username: 'user', password: 'pencil' },
  nonce: 'rOprNGfwEbeRWgbNEkqO',
  challenge:
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  final:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  verdict: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
} as const

test('the exchange of RFC 7677 comes out letter for letter', async () => {
  const client = new ScramClient(RFC.settings, RFC.nonce)
  assert.is(client.first(), 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  assert.equal(await client.final(RFC.challenge), { kind: 'proof', text: RFC.final })
  assert.is(client.doubt(RFC.verdict), undefined)
})

test('a server that cannot prove itself is doubted', async () => {
  const client = new ScramClient(RFC.settings, RFC.nonce)
  assert.ok(client.doubt(RFC.verdict), 'before the challenge nothing is proved')
  await client.final(RFC.challenge)
  assert.match(client.doubt(RFC.verdict.replace('6', '7')) ?? '', 'signature is wrong')
  assert.match(client.doubt('v=AAAA') ?? '', 'signature is wrong')
  assert.match(client.doubt('e=other-error') ?? '', 'other-error')
  assert.ok(client.doubt(''))
})

test('a challenge that does not continue our nonce, or is absurd, is unfit', async () => {
  const client = new ScramClient(RFC.settings, RFC.nonce)
  for (const challenge of [
    'r=someoneElse,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    `r=${RFC.nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${RFC.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0`,
    `r=${RFC.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999`,
    `r=${RFC.nonce}x,s=,i=4096`,
    'nonsense',
    '',
  ]) {
    assert.is((await client.final(challenge)).kind, 'unfit', challenge)
  }
})

test('names with commas and equals signs are escaped', () => {
  const settings = { ...RFC.settings, username: 'a=b,c' }
  assert.is(new ScramClient(settings, 'n').first(), 'n,,n=a=3Db=2Cc,r=n')
})

async function login(
  settings: SaslSettings,
  mechanisms: string[],
  answer: (bytes: Buffer) => { errorCode: number; authBytes: Buffer },
): Promise<void> {
  const broker = await FakeBroker.start()
  broker.on(saslHandshake, ({ mechanism }) => ({
    errorCode: mechanisms.includes(mechanism) ? 0 : 33,
    mechanisms,
  }))
  broker.on(saslAuthenticate, ({ authBytes }) => ({ errorMessage: null, ...answer(authBytes) }))
  try {
    const connection = await BrokerConnection.open({
      host: '127.0.0.1',
      port: broker.port,
      clientId: 'test',
      clock: new ManualClock(),
      authenticate: saslAuthenticator(settings),
    })
    connection.close()
  } finally {
    await broker.stop()
  }
}

const PLAIN = { mechanism: 'PLAIN', username: 'gw', password: 'secret' } as const

test('PLAIN sends user and password, and hears whether they are right', async () => {
  const seen: string[] = []
  await login(PLAIN, ['PLAIN'], (bytes) => {
    seen.push(bytes.toString())
    return { errorCode: 0, authBytes: Buffer.alloc(0) }
  })
  assert.equal(seen, ['\0gw\0secret'])
  const error = await faultOf(
    login(PLAIN, ['PLAIN'], () => ({ errorCode: 58, authBytes: Buffer.alloc(0) })),
  )
  assert.is(kafkaErrorOf(error), 'SASL_AUTHENTICATION_FAILED')
  assert.match(error.message, 'check username and password (user gw)')
  assert.not.match(error.message, 'secret')
  assert.not.ok(error.retriable)
})

test('a mechanism that is not offered is named with those that are', async () => {
  const error = await faultOf(login(PLAIN, ['SCRAM-SHA-512'], () => assert.unreachable() as never))
  assert.is(kafkaErrorOf(error), 'UNSUPPORTED_SASL_MECHANISM')
  assert.match(error.message, 'it offers SCRAM-SHA-512')
})

test('a broker that fails the SCRAM proof is refused', async () => {
  const error = await faultOf(
    login({ ...PLAIN, mechanism: 'SCRAM-SHA-512' }, ['SCRAM-SHA-512'], (bytes) => {
      const nonce = /r=(.+)$/.exec(bytes.toString())?.[1]
      const reply = bytes.toString().startsWith('n,,')
        ? `r=${nonce}server,s=c2FsdA==,i=4096`
        : 'v=Zm9yZ2VkIQ=='
      return { errorCode: 0, authBytes: Buffer.from(reply) }
    }),
  )
  assert.is(error.code, 'UPSTREAM_REFUSED')
  assert.match(error.message, 'failed to prove itself to user gw (its signature is wrong)')
})

test.run()
