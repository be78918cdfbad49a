// Runs every test file beside a simulator of its own.
//
// Node reads the certificates it trusts when it starts, so the simulator has to be there first.
// `BITRIX24_SIM` names its binary.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname)
const files = (await readdir(here)).filter((name) => name.endsWith('.test.mjs'))
if (files.length === 0) throw new Error(`no tests in ${here}`)
const codes = await Promise.all(files.map(run))
process.exitCode = Math.max(...codes)

async function run(file) {
  const dir = await mkdtemp(path.join(tmpdir(), 'bitrix24-sim-'))
  const simulator = spawn(process.env.BITRIX24_SIM, ['--dir', dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [line] = await once(createInterface(simulator.stdout), 'line')
    const facts = JSON.parse(line)
    const test = spawn(process.execPath, ['--test', '--test-reporter=spec', '--test-timeout=60000', path.join(here, file)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...environment(),
        NODE_EXTRA_CA_CERTS: facts.ca_file,
        BITRIX24_SIM_FACTS: line,
      },
    })
    let output = ''
    for (const stream of [test.stdout, test.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (output += text))
    }
    const [code] = await once(test, 'close')
    process.stdout.write(output)
    return code ?? 1
  } finally {
    const ended = once(simulator, 'exit')
    simulator.kill('SIGTERM')
    await ended
    await rm(dir, { recursive: true })
  }
}

// Nothing that would lead a client away from loopback, nor a test runner to another one's output.
function environment() {
  const strange = /^(https?|all|no)_proxy$|^NODE_(OPTIONS|TEST_CONTEXT)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !strange.test(name)))
}
