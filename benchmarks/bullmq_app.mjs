// The same jobs on BullMQ over Redis, results kept. Runs on Node.js with a package folder of its own.
//
//     node bullmq_app.mjs produce noop bulk|one|paced COUNT [INTERVAL_SECONDS]
//     node bullmq_app.mjs work CONCURRENCY
//
// BENCH_MODULES is the folder with BullMQ. The layout of the probe file is described in probe.py.

import { openSync, readSync, statSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const { Queue, Worker } = createRequire(`${process.env.BENCH_MODULES}/`)('bullmq')
const address = new URL(process.env.BENCH_REDIS)
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null }
const now = () => process.hrtime.bigint()
const PLACES = 64
const BULK = 1000

class Probe {
  constructor () {
    const path = process.env.BENCH_PROBE
    this.file = openSync(path, 'r+')
    this.jobs = Math.floor((statSync(path).size - PLACES * 16) / 9)
    this.place = (process.pid % PLACES) * 16
    this.moment = Buffer.alloc(8)
    this.calls = Buffer.alloc(1)
    this.wasCalled = false
  }

  write (moment, position) {
    this.moment.writeBigInt64LE(moment)
    writeSync(this.file, this.moment, 0, 8, position)
  }

  hit (number, sent) {
    const at = now()
    if (!this.wasCalled) this.write(at, this.place)
    this.wasCalled = true
    this.write(at, this.place + 8)
    const position = PLACES * 16 + this.jobs * 8 + number
    readSync(this.file, this.calls, 0, 1, position)
    this.calls[0] += 1
    writeSync(this.file, this.calls, 0, 1, position)
    if (sent) this.write(at - BigInt(sent), PLACES * 16 + number * 8)
  }
}

function payload (number, sent) {
  const data = { user_id: 'usr-44321', lat: 38.8977, lon: -77.0365, photo: 's3://uploads/ravi.jpg', n: number }
  return sent ? { ...data, sent_ns: String(sent) } : data
}

async function produce (how, count, interval) {
  const queue = new Queue('default', { connection })
  await queue.waitUntilReady()
  const began = performance.now()
  if (how === 'bulk') {
    for (let start = 0; start < count; start += BULK) {
      const size = Math.min(BULK, count - start)
      await queue.addBulk(Array.from({ length: size }, (_, at) => ({ name: 'noop', data: payload(start + at) })))
    }
  } else {
    for (let number = 0; number < count; number++) {
      if (interval) await sleep(Math.max(0, began + number * interval * 1000 - performance.now()))
      await queue.add('noop', payload(number, how === 'paced' ? now() : 0n))
    }
  }
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }))
  await queue.close()
}

function work (concurrency) {
  const probe = new Probe()
  const worker = new Worker('default', async (job) => {
    probe.hit(job.data.n, job.data.sent_ns)
    return { ok: true }
  }, { connection, concurrency })
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)))
}

const [task, ...rest] = process.argv.slice(2)
if (task === 'work') work(Number(rest[0]))
else await produce(rest[1], Number(rest[2]), Number(rest[3] ?? 0))
