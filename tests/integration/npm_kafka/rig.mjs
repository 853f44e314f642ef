// What the scripts of this folder share: tests by name, waiting, kafkajs with every codec.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'

const require = createRequire(import.meta.url)
const lz4 = require('lz4js')
const zstd = require('@bokuweb/zstd-wasm')
await zstd.init()
const { CompressionTypes, CompressionCodecs } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})
export { kafkajs, require }

export async function until(condition, what = () => 'it never became true') {
  for (const end = Date.now() + 60000; !(await condition()); await new Promise((done) => setTimeout(done, 20))) assert.ok(Date.now() < end, what())
}

// What is in a topic: { key, value, headers, partition, offset } by partition and offset, read by kafkajs.
export async function readAll(kafka, topic) {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const count = ends.reduce((sum, one) => sum + Number(one.high) - Number(one.low), 0)
  const consumer = kafka.consumer({ groupId: `all-of-${topic}-${Math.random()}`, maxWaitTimeInMs: 100 })
  const came = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      came.push({ ...message, partition, key: message.key?.toString(), value: message.value === null ? null : message.value.toString() })
    },
  })
  await until(() => came.length >= count, () => `${came.length} of ${count} records of ${topic} came`)
  await consumer.disconnect()
  return came.sort((a, b) => a.partition - b.partition || Number(a.offset) - Number(b.offset))
}

// Runs tests one after the other; whether any failed.
export async function runTests(who, tests) {
  let failed = 0
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test()
      console.log(`ok ${who}: ${name}`)
    } catch (error) {
      failed = 1
      console.log(`not ok ${who}: ${name}: ${String(error.stack ?? error).split('\n').slice(0, 4).join(' | ')}`)
    }
  }
  return failed
}
