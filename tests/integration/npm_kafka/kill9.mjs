// kafkajs's idempotent producers while the server is killed, again and again: node kill9.mjs CAIRN FOLDER. See ../kafka_npm.sh.
//
// Three producers, each with one batch under way, send numbered records until each is acknowledged; in the end every record is counted in
// every partition: none lost, none doubled, in order. A transactional one sends numbered transactions to two partitions: each is
// there whole and once. TEST_SEED replays after how many acknowledgements the server is killed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { kafkajs, readAll, runTests, until } from './rig.mjs'

const [cairn, folder] = process.argv.slice(2)
const KILLS = 4, PARTITIONS = 2
let seed = BigInt(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`seed: TEST_SEED=${seed}`)
const random = (below) => { // splitmix64
  seed = BigInt.asUintN(64, seed + 0x9E3779B97F4A7C15n)
  let z = BigInt.asUintN(64, (seed ^ (seed >> 30n)) * 0xBF58476D1CE4E5B9n)
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94D049BB133111EBn)
  return Number((z ^ (z >> 31n)) % BigInt(below))
}

// A port below the ephemeral ones: a client that keeps trying one of those may connect to itself.
async function freePort() {
  for (let port = 30000 + (process.pid % 1000); ; port++) {
    const server = createServer()
    const free = await new Promise((resolve) => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
    if (free) { await new Promise((done) => server.close(done)); return port }
  }
}
mkdirSync(folder, { recursive: true })
const port = await freePort()
let server
async function start() {
  server = spawn(cairn, ['serve', '--data', `${folder}/data`, '--listen', '127.0.0.1:0', '--kafka', `127.0.0.1:${port}`], { stdio: ['ignore', 'pipe', 'ignore'] })
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve)
    server.once('exit', (code) => reject(new Error(`the server ends with ${code}`)))
  })
  server.removeAllListeners('exit')
}
async function kill() {
  const gone = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await gone
}
process.on('exit', () => server?.kill('SIGKILL'))

const kafka = new kafkajs.Kafka({
  clientId: 'kill9', brokers: [`127.0.0.1:${port}`], logLevel: kafkajs.logLevel.NOTHING, connectionTimeout: 2000,
  retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 1000 },
})
let acknowledged = 0, stop = false, tried = 0

async function produce(who) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const next = Array(PARTITIONS).fill(0)
  while (!stop) {
    const partition = random(PARTITIONS)
    const messages = Array.from({ length: 1 + random(20) }, () => ({ partition, key: who, value: `${next[partition]++}` }))
    const [told] = await producer.send({ topic: 'load', messages })
    assert.equal(told.errorCode, 0)
    acknowledged += messages.length
  }
  await producer.disconnect()
  return next
}

async function transact() {
  let producer, number = 0
  const open = async () => {
    producer = kafka.producer({ transactionalId: 'kill9', idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
  }
  await open()
  for (let attempt = 0; !stop; attempt++) {
    let transaction
    try {
      transaction = await producer.transaction()
      await transaction.send({ topic: 'money', messages: [0, 1].flatMap((partition) => [0, 1, 2].map((i) => ({ partition, value: `${number} ${attempt} ${i}` }))) })
      await transaction.sendOffsets({ consumerGroupId: 'tellers', topics: [{ topic: 'money', partitions: [{ partition: 0, offset: `${number + 1}` }] }] })
      await transaction.commit()
      number++
      attempt = -1
    } catch { // what became of it? The offset that it committed says so
      tried++
      await transaction?.abort().catch(() => {})
      await producer.disconnect().catch(() => {})
      await open()
      const [{ partitions }] = await admin.fetchOffsets({ groupId: 'tellers', topics: ['money'] })
      if (Number(partitions.find((one) => one.partition === 0).offset) === number + 1) { number++; attempt = -1 }
    }
  }
  await producer.disconnect()
  return number
}

const admin = kafka.admin()
const failed = await runTests('kafkajs', {
  async 'every record is counted across kills of the server'() {
    await start()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic: 'load', numPartitions: PARTITIONS }, { topic: 'money', numPartitions: PARTITIONS }] })
    const names = ['ann', 'ben', 'cay']
    const all = Promise.all([...names.map(produce), transact()])
    all.catch(() => {}) // told below
    for (let i = 0; i < KILLS; i++) {
      const goal = acknowledged + 50 + random(2000)
      await Promise.race([all, until(() => acknowledged >= goal, () => `${acknowledged} of ${goal} are acknowledged`)])
      await kill()
      await start()
    }
    const goal = acknowledged + 100
    await Promise.race([all, until(() => acknowledged >= goal, () => `${acknowledged} of ${goal} are acknowledged`)])
    stop = true
    const sent = await all
    const transactions = sent.pop()
    await kill()
    await start()
    const came = await readAll(kafka, 'load'), next = new Map()
    for (const { partition, key, value, offset } of came) {
      const at = `${key} ${partition}`
      assert.equal(Number(value), next.get(at) ?? 0, `partition ${partition}, offset ${offset}: ${key}'s ${value}`)
      next.set(at, Number(value) + 1)
    }
    names.forEach((name, i) => sent[i].forEach((count, partition) => assert.equal(next.get(`${name} ${partition}`) ?? 0, count, `${name}, partition ${partition}`)))
    const money = await readAll(kafka, 'money')
    const whole = new Map()
    for (const { partition, value } of money) {
      const [number, attempt, i] = value.split(' ').map(Number)
      const list = whole.get(number) ?? whole.set(number, []).get(number)
      list.push(`${attempt} ${partition} ${i}`)
    }
    assert.equal(whole.size, transactions)
    for (const [number, list] of whole) {
      const attempt = list[0].split(' ')[0]
      assert.deepEqual(list.sort(), [0, 1].flatMap((partition) => [0, 1, 2].map((i) => `${attempt} ${partition} ${i}`)), `transaction ${number}`)
    }
    await admin.disconnect()
    console.log(`# ${KILLS + 1} kills: ${came.length} records, ${transactions} transactions (${tried} tried again)`)
  },
})
process.exit(failed)
