// What the parts of the agent would refuse at their start, asked before the configuration holds: the
// routes, the device profiles they name, the users' file.

import { readFile } from 'node:fs/promises'
import { createDecoder, type Decoder } from '../../devices/payload.ts'
import { checkProfile } from '../../devices/profile.ts'
import { builtInProfile, builtInProfileNames } from '../../devices/profiles.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import { Routes } from '../ingest/routes.ts'
import { Users } from '../ingest/users.ts'
import type { Report } from './relations.ts'
import type { Config } from './schema.ts'
import { emptyMap, type Problem, plainValue, readYaml } from './yaml-source.ts'

/** The decoders that routes may name: the built-in profiles and those of the files, by name. */
export async function readProfiles(
  config: Config,
  problem: Report,
): Promise<ReadonlyMap<string, Decoder>> {
  const decoders = new Map<string, Decoder>()
  for (const name of builtInProfileNames()) decoders.set(name, createDecoder(builtInProfile(name)!))
  const fromFiles = new Set<string>()
  for (const [index, file] of config.profiles.entries()) {
    const key = `profiles[${index}]`
    const problems: Problem[] = []
    const value = await readProfileFile(file, problems)
    for (const { place, sentence } of problems) problem(key, `${place}: ${sentence}`)
    if (problems.length > 0) continue
    const checked = checkProfile(value, file)
    if (checked.kind === 'invalid') {
      for (const sentence of checked.problems) problem(key, `${key}: ${sentence}`)
      continue
    }
    const { name } = checked.profile
    if (fromFiles.has(name)) problem(key, `${key}: ${file}: a second profile named ${name}`)
    fromFiles.add(name)
    decoders.set(name, createDecoder(checked.profile))
  }
  return decoders
}

/** A profile is YAML or JSON; numbers and flags are what they look like. */
async function readProfileFile(file: string, problems: Problem[]): Promise<unknown> {
  try {
    const raw = readYaml(await readFile(file, 'utf8'), (line) => `${file}:${line}`, problems)
    return plainValue(raw.kind === 'nothing' ? emptyMap(file) : raw)
  } catch (error) {
    problems.push({ place: file, sentence: `cannot be read (${codeOf(error)})` })
    return undefined
  }
}

/** Compiles the routes; what they refuse becomes a problem at its key. */
export function checkRoutes(
  config: Config,
  profiles: ReadonlyMap<string, Decoder>,
  problem: Report,
): void {
  const { gateway = '', topicPrefix, routes } = config
  try {
    new Routes({ gateway, topicPrefix, routes, profiles })
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'INPUT_CONFIG') throw error
    problem(/^routes\[\d+\](\.\w+)?/.exec(error.message)?.[0] ?? 'routes', error.message)
  }
}

/** Reads the users' file; a line that is none becomes a problem. */
export async function checkUsers({ mqtt }: Config, problem: Report): Promise<void> {
  if (mqtt.usersFile === undefined) return
  try {
    await Users.load(mqtt.usersFile)
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'INPUT_CONFIG') throw error
    problem('mqtt.usersFile', `mqtt.usersFile: ${error.message}`)
  }
}
