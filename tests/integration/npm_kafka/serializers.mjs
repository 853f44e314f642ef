// Serializers over Kafka and the registry of one server: node serializers.mjs HOST:PORT URL CLIENT. See ../kafka_npm.sh.
//   kafkajs     with @kafkajs/confluent-schema-registry
//   confluent   @confluentinc/kafka-javascript with @confluentinc/schemaregistry
// Each with Avro, JSON Schema and Protobuf, to a topic whose values the server checks by their subject (cairn.value.subject).
import assert from 'node:assert/strict'
import { kafkajs, readAll, require, runTests } from './rig.mjs'

const [broker, url, client] = process.argv.slice(2)
const kafka = new kafkajs.Kafka({ clientId: 'serializers', brokers: [broker], logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 2 } })
const admin = kafka.admin()
await admin.connect()

async function checkedTopic(topic) {
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: [{ name: 'cairn.value.subject', value: `${topic}-value` }] }] })
}

// Sends a good value, and ones that the server has to refuse: without a schema's id, cut short, of another subject.
async function play(send, topic, good, foreign) {
  await send(topic, good)
  for (const [what, bad] of Object.entries({ bare: Buffer.from('{"n":1}'), short: good.subarray(0, 5), foreign })) {
    await assert.rejects(send(topic, bad), (error) => /INVALID_RECORD|failed to validate|failed validation|Invalid record|Broker: Broker failed/i.test(`${error.type} ${error.message} ${error.cause?.message}`), `${topic} takes what is ${what}`)
  }
}
async function valueOf(topic) {
  assert.equal((await readAll(kafka, topic)).length, 1)
  const consumer = kafka.consumer({ groupId: `value-of-${topic}` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const value = await new Promise((resolve) => consumer.run({ eachMessage: async ({ message }) => resolve(message.value) }))
  await consumer.disconnect()
  return value
}

const avro = { type: 'record', name: 'Order', namespace: 'shop', fields: [{ name: 'id', type: 'long' }, { name: 'item', type: 'string' }] }
const json = { $schema: 'http://json-schema.org/draft-07/schema#', type: 'object', required: ['id'], properties: { id: { type: 'integer' }, item: { type: 'string' } } }
const proto = 'syntax = "proto3"; package shop; message Order { int64 id = 1; string item = 2; }'
const order = { id: 7, item: 'tea' }
const plain = (value) => ({ id: Number(value.id), item: value.item })

async function kafkajsTests() {
  const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')
  const registry = new SchemaRegistry({ host: url })
  const producer = kafka.producer()
  await producer.connect()
  const send = (topic, value) => producer.send({ topic, messages: [{ key: 'k', value }] })
  const foreign = await registry.encode((await registry.register({ type: SchemaType.AVRO, schema: JSON.stringify({ ...avro, name: 'Other' }) }, { subject: 'js-foreign' })).id, order)
  const kinds = { AVRO: JSON.stringify(avro), JSON: JSON.stringify(json), PROTOBUF: proto }
  const tests = {}
  for (const [type, schema] of Object.entries(kinds)) {
    tests[`${type}, checked by the server`] = async () => {
      const topic = `js-${type.toLowerCase()}`
      await checkedTopic(topic)
      const { id } = await registry.register({ type: SchemaType[type], schema }, { subject: `${topic}-value` })
      const good = await registry.encode(id, order)
      // It writes no message indexes before a Protobuf value, which the format wants: index 0 is one byte.
      await play(send, topic, type === 'PROTOBUF' ? Buffer.concat([good.subarray(0, 5), Buffer.from([0]), good.subarray(5)]) : good, foreign)
      assert.deepEqual(plain(await new SchemaRegistry({ host: url }).decode(await valueOf(topic))), order)
    }
  }
  const failed = await runTests('@kafkajs/confluent-schema-registry', tests)
  await producer.disconnect()
  return failed
}

async function confluentTests() {
  const sr = require('@confluentinc/schemaregistry')
  const protobuf = require('@bufbuild/protobuf')
  const { AuthorSchema } = require('./node_modules/@confluentinc/schemaregistry/dist/test/serde/test/example_pb')
  const { Kafka } = require('@confluentinc/kafka-javascript').KafkaJS
  const registry = sr.SchemaRegistryClient.newClient({ baseURLs: [url], maxRetries: 0 })
  const native = new Kafka({ 'bootstrap.servers': broker, log_level: 0 })
  const producer = native.producer({ 'linger.ms': 1, retries: 0 })
  await producer.connect()
  const send = (topic, value) => producer.send({ topic, messages: [{ key: 'k', value }] })
  const receive = async (topic) => {
    const consumer = native.consumer({ 'group.id': `native-${topic}`, 'auto.offset.reset': 'earliest' })
    await consumer.connect()
    await consumer.subscribe({ topic })
    const value = await new Promise((resolve) => consumer.run({ eachMessage: async ({ message }) => resolve(message.value) }))
    await consumer.disconnect()
    return value
  }
  await registry.register('native-foreign', { schemaType: 'AVRO', schema: JSON.stringify({ ...avro, name: 'Other' }) })
  const serialized = async (Serializer, topic, value, options) => new Serializer(registry, sr.SerdeType.VALUE, { useLatestVersion: true, ...options }).serialize(topic, value)
  await registry.register('foreign-value', { schemaType: 'AVRO', schema: JSON.stringify({ ...avro, name: 'Foreign' }) })
  const foreign = await serialized(sr.AvroSerializer, 'foreign', order)
  const tests = {
    async 'Avro, checked by the server'() {
      await checkedTopic('native-avro')
      await registry.register('native-avro-value', { schemaType: 'AVRO', schema: JSON.stringify(avro) })
      await play(send, 'native-avro', await serialized(sr.AvroSerializer, 'native-avro', order), foreign)
      const back = await new sr.AvroDeserializer(registry, sr.SerdeType.VALUE, {}).deserialize('native-avro', await receive('native-avro'))
      assert.deepEqual(plain(back), order)
    },
    async 'JSON Schema, checked by the server'() {
      await checkedTopic('native-json')
      await registry.register('native-json-value', { schemaType: 'JSON', schema: JSON.stringify(json) })
      const good = await serialized(sr.JsonSerializer, 'native-json', order, { validate: true })
      await play(send, 'native-json', good, foreign)
      await assert.rejects(send('native-json', Buffer.concat([good.subarray(0, 5), Buffer.from('{"id":"seven"}')])))
      const back = await new sr.JsonDeserializer(registry, sr.SerdeType.VALUE, {}).deserialize('native-json', await receive('native-json'))
      assert.deepEqual(back, order)
    },
    async 'Protobuf, checked by the server'() {
      await checkedTopic('native-protobuf')
      const serializer = new sr.ProtobufSerializer(registry, sr.SerdeType.VALUE, { autoRegisterSchemas: true })
      serializer.registry.add(AuthorSchema)
      const author = protobuf.create(AuthorSchema, { name: 'Kafka', id: 123, works: ['The Castle'] })
      await play(send, 'native-protobuf', await serializer.serialize('native-protobuf', author), foreign)
      const back = await new sr.ProtobufDeserializer(registry, sr.SerdeType.VALUE, {}).deserialize('native-protobuf', await receive('native-protobuf'))
      assert.deepEqual(protobuf.toJson(AuthorSchema, back), protobuf.toJson(AuthorSchema, author))
    },
  }
  const failed = await runTests('@confluentinc/schemaregistry', tests)
  await producer.disconnect()
  return failed
}

const failed = await (client === 'kafkajs' ? kafkajsTests() : confluentTests())
await admin.disconnect()
process.exit(failed)
