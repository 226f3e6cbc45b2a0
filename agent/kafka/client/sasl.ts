// SASL over SaslHandshake v1 and SaslAuthenticate: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677).
//
// A SCRAM exchange proves both sides: we show that we know the password, the broker that it knows
// what is derived from it. Its signature is compared in constant time, and a broker that cannot
// show it is refused. The iteration count is bounded, as it is the other side that names it.

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { AgentError } from '../../base/errors.ts'
import { errorCode } from '../protocol/error-codes.ts'
import * as saslHandshake from '../protocol/messages/17-sasl-handshake.ts'
import * as saslAuthenticate from '../protocol/messages/36-sasl-authenticate.ts'
import type { Authenticate, BrokerConnection } from './broker-connection.ts'
import { refusedBy } from './kafka-fault.ts'

export type SaslMechanism = 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'

export interface SaslSettings {
  mechanism: SaslMechanism
  username: string
  password: string
}

const ITERATIONS_MAX = 1_000_000

/** The hook that authenticates a fresh connection. */
export function saslAuthenticator(settings: SaslSettings): Authenticate {
  return async (connection) => {
    await agree(connection, settings.mechanism)
    if (settings.mechanism === 'PLAIN') await plain(connection, settings)
    else await scram(connection, settings)
  }
}

async function agree(connection: BrokerConnection, mechanism: SaslMechanism): Promise<void> {
  const answer = await connection.send(saslHandshake, { mechanism }, { version: 1 })
  if (answer.errorCode === errorCode('NONE')) return
  const advice = `it offers ${answer.mechanisms.join(', ') || 'nothing'}; check mechanism`
  throw refusedBy(connection.address, `SASL ${mechanism}`, answer.errorCode, advice)
}

async function plain(
  connection: BrokerConnection,
  { username, password }: SaslSettings,
): Promise<void> {
  await exchange(connection, username, Buffer.from(`\0${username}\0${password}`))
}

async function exchange(
  connection: BrokerConnection,
  username: string,
  authBytes: Buffer,
): Promise<Buffer> {
  const answer = await connection.send(saslAuthenticate, { authBytes })
  if (answer.errorCode === errorCode('NONE')) return answer.authBytes
  const advice = `check username and password (user ${username})`
  throw refusedBy(connection.address, 'SASL', answer.errorCode, advice)
}

async function scram(connection: BrokerConnection, settings: SaslSettings): Promise<void> {
  const { username } = settings
  const client = new ScramClient(settings, randomBytes(24).toString('base64'))
  const unfit = (why: string) =>
    new AgentError(
      'UPSTREAM_REFUSED',
      `${connection.address} failed to prove itself to user ${username} (${why}): is this the right cluster?`,
      { details: { broker: connection.address } },
    )
  const challenge = await exchange(connection, username, Buffer.from(client.first()))
  const proof = await client.final(challenge.toString('utf8'))
  if (proof.kind === 'unfit') throw unfit(proof.why)
  const verdict = await exchange(connection, username, Buffer.from(proof.text))
  const why = client.doubt(verdict.toString('utf8'))
  if (why !== undefined) throw unfit(why)
}

/** One SCRAM exchange, without I/O. */
export class ScramClient {
  readonly #settings: SaslSettings
  readonly #nonce: string
  readonly #hash: 'sha256' | 'sha512'
  #serverSignature: Buffer = Buffer.alloc(0)

  /** `nonce` must be fresh, printable, and without a comma. */
  constructor(settings: SaslSettings, nonce: string) {
    this.#settings = settings
    this.#nonce = nonce
    this.#hash = settings.mechanism === 'SCRAM-SHA-512' ? 'sha512' : 'sha256'
  }

  first(): string {
    return `n,,${this.#firstBare()}`
  }

  #firstBare(): string {
    const name = this.#settings.username.replaceAll('=', '=3D').replaceAll(',', '=2C')
    return `n=${name},r=${this.#nonce}`
  }

  /** Answers the server's challenge `r=…,s=…,i=…`, or says what is wrong with it. */
  async final(
    challenge: string,
  ): Promise<{ kind: 'proof'; text: string } | { kind: 'unfit'; why: string }> {
    const parts = /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/.exec(challenge)
    if (parts === null) return { kind: 'unfit', why: 'its challenge is malformed' }
    const [, nonce, salt, iterationText] = parts
    const iterations = Number(iterationText)
    if (!nonce!.startsWith(this.#nonce) || nonce!.length === this.#nonce.length) {
      return { kind: 'unfit', why: 'its nonce does not continue ours' }
    }
    if (iterations < 1 || iterations > ITERATIONS_MAX) {
      return { kind: 'unfit', why: `it asks for ${iterations} iterations` }
    }
    const withoutProof = `c=biws,r=${nonce}`
    const message = `${this.#firstBare()},${challenge},${withoutProof}`
    const salted = await promisify(pbkdf2)(
      this.#settings.password,
      Buffer.from(salt!, 'base64'),
      iterations,
      this.#hash === 'sha512' ? 64 : 32,
      this.#hash,
    )
    const clientKey = this.#hmac(salted, 'Client Key')
    const storedKey = createHash(this.#hash).update(clientKey).digest()
    const signature = this.#hmac(storedKey, message)
    const proof = clientKey.map((byte, index) => byte ^ signature[index]!)
    this.#serverSignature = this.#hmac(this.#hmac(salted, 'Server Key'), message)
    return { kind: 'proof', text: `${withoutProof},p=${Buffer.from(proof).toString('base64')}` }
  }

  /** What is wrong with the server's verdict `v=…`; undefined when it has proved itself. */
  doubt(verdict: string): string | undefined {
    const parts = /^v=([A-Za-z0-9+/=]+)/.exec(verdict)
    if (parts === null) return `it says ${verdict.slice(0, 100)}`
    const signature = Buffer.from(parts[1]!, 'base64')
    const isRight =
      this.#serverSignature.length > 0 &&
      signature.length === this.#serverSignature.length &&
      timingSafeEqual(signature, this.#serverSignature)
    return isRight ? undefined : 'its signature is wrong'
  }

  #hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest()
  }
}
