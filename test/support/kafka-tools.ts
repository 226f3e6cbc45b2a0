// Kafka's own command line tools, run as a user would run them, each in a JVM of its own (about
// 1.4 s each: prefer one call with many partitions to many calls).

import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, kafkaJars } from './kafka-jars.ts'
import { requirePeer } from './peers.ts'

export const JVM_OPTIONS = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

export interface ToolResult {
  stdout: string
  stderr: string
  /** Exit code; null when the tool was killed after its limit. */
  code: number | null
}

export interface ToolOptions {
  /** Text for its standard input, which is then closed. */
  input?: string
  limitMs?: number
}

export class KafkaTools {
  readonly #java: string
  readonly #classPath: string
  readonly #bootstrapServers: string

  constructor(java: string, classPath: string, bootstrapServers = '127.0.0.1:9') {
    this.#java = java
    this.#classPath = classPath
    this.#bootstrapServers = bootstrapServers
  }

  /** Tools without a cluster of ours, for dump-log or another listener; undefined without Kafka. */
  static async find(bootstrapServers?: string): Promise<KafkaTools | undefined> {
    const classPath = await kafkaJars()
    const java = requirePeer('java')
    if (classPath === undefined || java === undefined) return undefined
    return new KafkaTools(java, classPath, bootstrapServers)
  }

  /** The same tools against another bootstrap address, such as the gateway's listener. */
  at(bootstrapServers: string): KafkaTools {
    return new KafkaTools(this.#java, this.#classPath, bootstrapServers)
  }

  kafkaTopics(args: string[]): Promise<ToolResult> {
    return this.#connected('org.apache.kafka.tools.TopicCommand', args)
  }

  getOffsets(args: string[]): Promise<ToolResult> {
    return this.#connected('org.apache.kafka.tools.GetOffsetShell', args)
  }

  /** Give it `--max-messages` or `--timeout-ms`: it reads on for ever otherwise. */
  consoleConsumer(args: string[], options?: ToolOptions): Promise<ToolResult> {
    return this.#connected('org.apache.kafka.tools.consumer.ConsoleConsumer', args, options)
  }

  consoleProducer(args: string[], input: string): Promise<ToolResult> {
    return this.#connected('org.apache.kafka.tools.ConsoleProducer', args, { input })
  }

  configs(args: string[]): Promise<ToolResult> {
    return this.#connected('kafka.admin.ConfigCommand', args)
  }

  deleteRecords(args: string[]): Promise<ToolResult> {
    return this.#connected('org.apache.kafka.tools.DeleteRecordsCommand', args)
  }

  /** kafka-dump-log of segment files; it says `isvalid: true` for each batch whose CRC is right. */
  dumpLog(files: string[], args: string[] = []): Promise<ToolResult> {
    return this.run('kafka.tools.DumpLogSegments', ['--files', files.join(','), ...args])
  }

  #connected(mainClass: string, args: string[], options?: ToolOptions): Promise<ToolResult> {
    return this.run(mainClass, ['--bootstrap-server', this.#bootstrapServers, ...args], options)
  }

  /** Any main class of Kafka's jars. */
  run(mainClass: string, args: string[], options: ToolOptions = {}): Promise<ToolResult> {
    const config = `-Dlog4j2.configurationFile=${toolLogConfig()}`
    const child = spawn(
      this.#java,
      [...JVM_OPTIONS, config, '-cp', this.#classPath, mainClass, ...args],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    const result: ToolResult = { stdout: '', stderr: '', code: null }
    child.stdout.setEncoding('utf8').on('data', (text) => (result.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (result.stderr += text))
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 60_000)
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => {
        clearTimeout(timer)
        resolve({ ...result, code })
      })
    })
  }
}

let written: string | undefined

/** Warnings to standard error; the same text from every process, so that it does not matter whose. */
function toolLogConfig(): string {
  if (written !== undefined) return written
  written = join(cacheFolder(), 'kafka-tools-log4j2.yaml')
  writeFileSync(
    written,
    `Configuration:
  status: error
  Appenders:
    Console:
      name: stderr
      target: SYSTEM_ERR
      PatternLayout: { pattern: '%p %m (%c)%n' }
  Loggers:
    Root: { level: warn, AppenderRef: { ref: stderr } }
`,
  )
  return written
}
