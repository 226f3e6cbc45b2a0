// Finds, reads and checks the configuration: the only reader of file and environment.
//
// Looked for in: the file named on the command line, TRIBUTARY_CONFIG, ./tributary.yaml,
// /etc/tributary/tributary.yaml. Every problem is one line "file:line: key: what; expected".

import { constants, existsSync } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { codeOf } from '../base/errors.ts'
import { overlayEnvironment, setsConfiguration } from './environment.ts'
import { checkRoutes, checkUsers, readProfiles } from './part-checks.ts'
import { type NamedFile, type Reading, readNode } from './reading.ts'
import { checkRelations, type Report, resolveNames, warnOfIdleTopics } from './relations.ts'
import { CONFIG, type Config } from './schema.ts'
import { emptyMap, type Problem, type Raw, readYaml } from './yaml-source.ts'

const SYSTEM_FILE = '/etc/tributary/tributary.yaml'
const FILE_NAME = 'tributary.yaml'
/** A configuration is a page of text; anything much larger is another file. */
const FILE_BYTES_MAX = 4 << 20

export interface LoadOptions {
  /** `-c FILE`. */
  readonly file?: string | undefined
  readonly environment: NodeJS.ProcessEnv
  /** Where the command was started. */
  readonly directory: string
  /** False: without any file the defaults do, as for `status` or `topics`. */
  readonly required: boolean
}

export type LoadOutcome =
  | {
      readonly kind: 'valid'
      readonly config: Config
      /** Undefined: none was found, and none was needed. */
      readonly file: string | undefined
      readonly warnings: readonly string[]
      /** Where each key that was set stands: `upstream.linger` → `tributary.yaml:9`. */
      readonly places: ReadonlyMap<string, string>
    }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] }

/** Loads the configuration; a problem is a value, never thrown. */
export async function loadConfig(options: LoadOptions): Promise<LoadOutcome> {
  const { environment, directory } = options
  const named = options.file ?? (environment.TRIBUTARY_CONFIG || undefined)
  const file = named === undefined ? findFile(directory) : resolve(directory, named)
  if (file === undefined) {
    if (options.required && !setsConfiguration(environment)) {
      const looked = `looked for ./${FILE_NAME} and ${SYSTEM_FILE}`
      return invalid([`no configuration: ${looked}; tributary init writes one`])
    }
    return check(options, { source: '', file, shown: 'the defaults' })
  }
  const shown = shortest(file, directory)
  try {
    if ((await stat(file)).size > FILE_BYTES_MAX) return invalid([`${shown}: too large to be one`])
    return check(options, { source: await readFile(file, 'utf8'), file, shown })
  } catch (error) {
    return invalid([`${shown}: ${fileSentence(error)}`])
  }
}

function findFile(directory: string): string | undefined {
  return [join(directory, FILE_NAME), SYSTEM_FILE].find((path) => existsSync(path))
}

function shortest(file: string, directory: string): string {
  const path = relative(directory, file)
  return path.startsWith('..') || path === '' ? file : path
}

function fileSentence(error: unknown): string {
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user'
  if (code === 'EISDIR') return 'is a folder; expected a file'
  return `cannot be read (${code || String(error)})`
}

const invalid = (problems: readonly string[]): LoadOutcome => ({ kind: 'invalid', problems })

async function check(
  options: LoadOptions,
  { source, file, shown }: { source: string; file: string | undefined; shown: string },
): Promise<LoadOutcome> {
  const problems: Problem[] = []
  const parsed = readYaml(source, (line) => `${shown}:${line}`, problems)
  if (problems.length > 0) return invalid(sentences(problems))
  const root = rootMap(parsed, problems)
  overlayEnvironment(root, options.environment, problems)
  const reading: Reading = {
    directory: file === undefined ? options.directory : dirname(file),
    problems,
    files: [],
    places: new Map(),
  }
  const read = readNode(reading, CONFIG, root, '') as Config
  if (problems.length > 0) return invalid(sentences(problems))

  const warnings: Problem[] = []
  const report =
    (into: Problem[]): Report =>
    (key, sentence) =>
      into.push({ place: placeOf(reading.places, key, shown), sentence })
  const problem = report(problems)
  const named = resolveNames(read, problem)
  checkRelations(named, problem, report(warnings))
  const config = await readSecrets(named, problem)
  await checkFiles(reading.files, problem)
  if (problems.length === 0) {
    checkRoutes(config, await readProfiles(config, problem), problem)
    await checkUsers(config, problem)
  }
  warnOfIdleTopics(config, report(warnings))
  if (problems.length > 0) return invalid(sentences(problems))
  return { kind: 'valid', config, file, warnings: sentences(warnings), places: reading.places }
}

function rootMap(parsed: Raw, problems: Problem[]): Raw & { kind: 'map' } {
  if (parsed.kind === 'map') return parsed
  if (parsed.kind !== 'nothing') {
    problems.push({ place: parsed.place, sentence: 'expected keys such as gateway: and routes:' })
  }
  return emptyMap(parsed.place)
}

/** The place of a key, or of the nearest part of it that was written. */
function placeOf(places: ReadonlyMap<string, string>, key: string, shown: string): string {
  for (let path = key; path !== ''; path = path.replace(/(\.|\[|^)[^.[]*$/, '')) {
    const place = places.get(path)
    if (place !== undefined) return place
  }
  return shown
}

function sentences(problems: readonly Problem[]): string[] {
  return [...new Set(problems.map(({ place, sentence }) => `${place}: ${sentence}`))]
}

/** The first line of `passwordFile` becomes the password. */
async function readSecrets(config: Config, problem: Report): Promise<Config> {
  const { upstream } = config
  const file = upstream?.security.passwordFile
  if (upstream === undefined || file === undefined) return config
  const key = 'upstream.security.passwordFile'
  try {
    const [password = ''] = (await readFile(file, 'utf8')).split(/\r?\n/)
    if (password === '') problem(key, `${key}: ${file} is empty`)
    if (upstream.security.password !== undefined) return config
    return { ...config, upstream: { ...upstream, security: { ...upstream.security, password } } }
  } catch {
    // checkFiles says why.
    return config
  }
}

async function checkFiles(files: readonly NamedFile[], problem: Report): Promise<void> {
  for (const { key, path } of files) {
    try {
      await access(path, constants.R_OK)
      if ((await stat(path)).isDirectory())
        problem(key, `${key}: ${path} is a folder; expected a file`)
    } catch (error) {
      problem(key, `${key}: ${path}: ${fileSentence(error)}`)
    }
  }
}
