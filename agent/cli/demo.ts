// tributary demo: a gateway, its cloud and a fleet of devices in a story with faults, and the proof.
//
// Exit 0 only when the proof holds. Otherwise it says what differs or where the story ended, keeps
// the folder with stores, logs and the ledger, and exits 1.

import { join } from 'node:path'
import { AgentError } from '../base/errors.ts'
import { numberOption, parseArguments } from './arguments.ts'
import { type Command, EXIT, type ExitCode, type Terminal } from './command.ts'
import { proofLine } from './demo/proof.ts'
import { Screen } from './demo/screen.ts'
import { DEVICES, Stage, TOPIC } from './demo/stage.ts'
import { STORY_SECONDS, Story } from './demo/story.ts'

const NEXT = ' Next:  npm run demo -- --hold  |  npx tributary init  |  README: "your own Kafka"'
/** The visitor has pressed Ctrl-C. */
const STOPPED = new AgentError('CLOSED', 'stopped before the proof')
const SECONDS_MIN = 12
const SECONDS_MAX = 3_600

export const command: Command = {
  help: `tributary demo [--seconds N] [--hold]

40 simulated devices, a gateway and an embedded Kafka upstream, as real processes in a temporary
folder on free ports of this machine: no Java, no broker, no network. The link to the upstream is
cut, the gateway is killed, and in the end every record is compared on both sides. Exits 1 when
anything is lost, twice or different; then the folder is kept.

  --seconds N   length of the story (default: ${STORY_SECONDS}, at least ${SECONDS_MIN})
  --hold        keeps everything up afterwards and says how to reach it, until Ctrl-C`,

  async run(args, terminal) {
    const { values } = parseArguments(args, {
      options: { seconds: { type: 'string' }, hold: { type: 'boolean' } },
      positionals: [],
    })
    const seconds = numberOption('--seconds', values.seconds, SECONDS_MIN, SECONDS_MAX)
    const stop = new AbortController()
    const release = terminal.onInterrupt(() => stop.abort(STOPPED))
    try {
      const options = { seconds: seconds ?? STORY_SECONDS, hold: values.hold === true }
      return await perform(options, stop, terminal)
    } finally {
      release()
    }
  },
}

async function perform(
  { seconds, hold }: { readonly seconds: number; readonly hold: boolean },
  stop: AbortController,
  terminal: Terminal,
): Promise<ExitCode> {
  const { signal } = stop
  const screen = new Screen(terminal.stdout, terminal.clock)
  await screen.say(
    `Tributary demo   ${DEVICES} devices → gateway → "cloud"   (temp folder, free ports, pid ${process.pid})`,
  )
  const stage = await Stage.build((fault) => stop.abort(fault))
  try {
    const evidence = await new Story(stage, screen, { terminal, signal, seconds }).tell()
    await screen.milestone(proofLine(evidence))
    if (evidence.differences.length > 0) {
      for (const difference of evidence.differences) await screen.say(`  DIFFERENT: ${difference}`)
      await keepFolder(stage, screen)
      return EXIT.notGood
    }
    await screen.say(NEXT)
    return hold ? await holdUp(stage, screen, signal) : EXIT.good
  } catch (error) {
    const isStopped = signal.aborted && signal.reason === STOPPED
    const text = isStopped ? STOPPED.message : error instanceof AgentError ? error.message : ''
    if (text !== '') await screen.say(` ENDED  ${text}`)
    if (!isStopped) await keepFolder(stage, screen)
    if (text === '') throw error
    return EXIT.notGood
  } finally {
    await stage.close()
  }
}

async function keepFolder(stage: Stage, screen: Screen): Promise<void> {
  stage.keepFolder()
  await stage.fleet.ledger.write(join(stage.folder, 'ledger.jsonl'))
  await screen.say(
    ` Kept: ${stage.folder} (stores and logs of both agents, ledger.jsonl of the fleet)`,
  )
}

/** Everything stays up until the visitor has seen enough, or an agent ends by itself. */
async function holdUp(stage: Stage, screen: Screen, signal: AbortSignal): Promise<ExitCode> {
  const { gateway, link, folder } = stage
  const lines = [
    `Up until Ctrl-C, in ${folder}:`,
    `  mosquitto_pub -V mqttv311 -p ${gateway.ports.mqtt} -q 2 -t sensors/me/temperature -m '{"temperature":21.5}'`,
    `  kcat -b ${gateway.kafkaAddress} -C -t ${TOPIC} -o -3 -e -f '%p:%o %k %s\\n'   # gateway`,
    `  kcat -b ${link.address} -C -t ${TOPIC} -o -3 -e -f '%p:%o %k %s\\n'   # cloud`,
    `  npx tributary status --admin ${gateway.adminAddress}`,
  ]
  for (const line of lines) await screen.say(` ${line}`)
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  }
  if (signal.reason === STOPPED) return EXIT.good
  throw signal.reason
}
