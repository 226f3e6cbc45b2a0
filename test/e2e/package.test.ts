// The tarball that a device installs: without development tools, without compiling anything, and it
// works. Registry answers come from npm's cache where it has them.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('package')

test(
  'the packed tarball installs into an empty folder, and runs',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-package-'))
    const run = (command: string, args: string[], cwd = folder) => {
      const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
      assert.is(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`)
      return stdout
    }
    // What is built is there already: the scripts of the package do not run.
    run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], resolve('.'))
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
    const offline = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts']
    run('npm', ['install', '--omit=dev', '--omit=optional', ...offline, `./${tarball}`])
    const packages = readdirSync(join(folder, 'node_modules'))
    for (const tool of ['typescript', 'assemblyscript', '@biomejs', 'tsx', 'uvu', 'cbor-extract']) {
      assert.not(packages.includes(tool), tool)
    }
    const npx = (...args: string[]) => run('npx', ['--no-install', 'tributary', ...args])
    assert.match(
      npx('init', '--gateway', 'plant-7'),
      /^wrote tributary\.yaml: gateway is "plant-7"/,
    )
    npx('config', 'check')
    // The whole way once, with the program that was installed.
    const main = join(folder, 'node_modules/tributary/dist/agent/main.js')
    const agent = await AgentProcess.create({ gateway: 'plant-7' }, { main })
    await agent.start()
    const client = await SteadyClient.connect(agent.mqttPort, { clientId: 'c', topic: 'a/b' })
    await client.publish()
    const args = ['consume', 'plant-7.mqtt', '-b', agent.kafkaAddress, '-e']
    assert.is((await agent.command(args)).stdout, '0\n')
    assert.is(await agent.stop(), 0)
    await agent.remove()
    rmSync(folder, { recursive: true })
  },
  { timeoutMs: 120_000 },
)

test.run()
