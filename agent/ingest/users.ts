// The password file of mosquitto_passwd.
//
//   name:$7$<iterations>$<salt, base64>$<hash, base64>   PBKDF2-HMAC-SHA512, 64 bytes
//   name:$6$<salt>$<hash>                                SHA-512 of password and salt
//
// - Hashing runs in the thread pool, two at a time: the same pool syncs the journal.
// - An unknown name costs as much as a wrong password, and comparing takes the same time always.

import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { AgentError, codeOf } from '../base/errors.ts'

const CONCURRENCY = 2
const WAITING_MAX = 2_000
const ITERATIONS_MAX = 10_000_000
const HASH_BYTES = 64
const LINE = /^([^:]+):\$(?:7\$(\d{1,8})|6)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/

interface Secret {
  /** 0: a single SHA-512. */
  readonly iterations: number
  readonly salt: Buffer
  readonly hash: Buffer
}

export class Users {
  readonly #secrets: ReadonlyMap<string, Secret>
  /** Stands in for a name that is not there. */
  readonly #decoy: Secret
  readonly #waiting: (() => void)[] = []
  #running = 0

  private constructor(secrets: ReadonlyMap<string, Secret>) {
    this.#secrets = secrets
    const iterations = Math.max(1, ...[...secrets.values()].map((secret) => secret.iterations))
    this.#decoy = { iterations, salt: Buffer.alloc(12), hash: Buffer.alloc(HASH_BYTES) }
  }

  /** Throws AgentError INPUT_CONFIG that names the line. */
  static parse(text: string, file: string): Users {
    const secrets = new Map<string, Secret>()
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue
      const secret = parseLine(line)
      if (typeof secret === 'string') {
        throw new AgentError('INPUT_CONFIG', `${file}:${index + 1}: ${secret}`)
      }
      secrets.set(line.slice(0, line.indexOf(':')), secret)
    }
    return new Users(secrets)
  }

  static async load(file: string): Promise<Users> {
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      const reason = `mqtt.usersFile ${file} cannot be read (${codeOf(error)})`
      throw new AgentError('INPUT_CONFIG', reason, { cause: error })
    }
    return Users.parse(text, file)
  }

  /** Whether the password is the user's; busy when too many wait to be checked. */
  async verify(name: string, password: Buffer): Promise<'right' | 'wrong' | 'busy'> {
    const known = this.#secrets.get(name)
    const { iterations, salt, hash } = known ?? this.#decoy
    if (this.#waiting.length >= WAITING_MAX) return 'busy'
    if (this.#running >= CONCURRENCY) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else {
      this.#running++
    }
    try {
      const found =
        iterations === 0
          ? createHash('sha512').update(password).update(salt).digest()
          : await derive(password, salt, iterations, hash.length)
      const isRight = timingSafeEqual(found, hash) && known !== undefined
      return isRight ? 'right' : 'wrong'
    } finally {
      // The place goes to the next one directly, so that nobody slips in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

function parseLine(line: string): Secret | string {
  const found = LINE.exec(line)
  if (found === null) {
    return line.includes(':')
      ? 'is not a hash of mosquitto_passwd; hash the file: mosquitto_passwd -U FILE'
      : 'expected name:hash, as mosquitto_passwd writes it'
  }
  const iterations = found[2] === undefined ? 0 : Number(found[2])
  const salt = Buffer.from(found[3]!, 'base64')
  const hash = Buffer.from(found[4]!, 'base64')
  const isWrong = found[2] !== undefined && (iterations < 1 || iterations > ITERATIONS_MAX)
  if (isWrong || hash.length !== HASH_BYTES || salt.length === 0) return 'holds a damaged hash'
  return { iterations, salt, hash }
}

function derive(
  password: Buffer,
  salt: Buffer,
  iterations: number,
  length: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, length, 'sha512', (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}
