// @confluentinc/kafka-javascript against a broker, by its interface like kafkajs and by that of node-rdkafka: node confluent.mjs HOST:PORT. See
// ../kafka_npm.sh.
import assert from 'node:assert/strict'
import { kafkajs, readAll, require, runTests, until } from './rig.mjs'

const [broker] = process.argv.slice(2)
const native = require('@confluentinc/kafka-javascript')
const { Kafka } = native.KafkaJS
const kafka = new Kafka({ 'bootstrap.servers': broker, log_level: 0 })
const other = new kafkajs.Kafka({ clientId: 'other', brokers: [broker], logLevel: kafkajs.logLevel.NOTHING })
const admin = kafka.admin()
const call = (object, name, ...args) => new Promise((resolve, reject) => object[name](...args, (error, result) => (error ? reject(error) : resolve(result))))

// A member of a group that notes what comes and what it has.
async function member(groupId, topic, options, came) {
  const self = { partitions: [] }
  self.consumer = kafka.consumer({
    'group.id': groupId, 'auto.offset.reset': 'earliest', 'auto.commit.interval.ms': 200, ...options,
    rebalance_cb: () => { self.rebalanced = true },
  })
  await self.consumer.connect()
  await self.consumer.subscribe({ topic })
  await self.consumer.run({ eachMessage: async ({ partition, message }) => { came.push(`${partition} ${message.offset} ${message.key} ${message.value}`) } })
  self.mine = () => { try { return self.consumer.assignment().length } catch { return 0 } }
  return self
}

async function share(groupId, options) {
  const topic = `${groupId}-topic`, came = [], producer = kafka.producer({ 'linger.ms': 1 })
  await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] })
  await producer.connect()
  const send = async (from, count) => producer.send({ topic, messages: Array.from({ length: count }, (_, n) => ({ key: `k${n % 10}`, value: `${from + n}` })) })
  await send(0, 200)
  const first = await member(groupId, topic, options, came)
  await until(() => new Set(came).size === 200 && first.mine() === 4, () => `${came.length} of 200 came`)
  const second = await member(groupId, topic, options, came)
  await until(() => first.mine() === 2 && second.mine() === 2, () => `${first.mine()} and ${second.mine()} partitions`)
  await send(200, 200)
  await until(() => new Set(came).size === 400, () => `${new Set(came).size} of 400 came`)
  await first.consumer.disconnect()
  await until(() => second.mine() === 4, () => `${second.mine()} partitions`)
  await send(400, 200)
  await until(() => new Set(came).size === 600, () => `${new Set(came).size} of 600 came`)
  await second.consumer.disconnect()
  assert.deepEqual(new Set(came.map((one) => one.split(' ')[3])).size, 600)
  await producer.disconnect()
  const last = [] // what was committed on the way out is not read again
  const third = await member(groupId, topic, options, last)
  await until(() => third.mine() === 4)
  const more = kafka.producer()
  await more.connect()
  await more.send({ topic, messages: [0, 1, 2, 3].map((partition) => ({ partition, value: 'end' })) })
  await until(() => last.length === 4, () => last.join())
  assert.ok(last.every((one) => one.endsWith('end')), last.join())
  await third.consumer.disconnect()
  await more.disconnect()
}

const tests = {
  async 'topics, and what is in the cluster'() {
    assert.equal(await admin.createTopics({ topics: [{ topic: 'native', numPartitions: 3 }] }), true)
    assert.equal(await admin.createTopics({ topics: [{ topic: 'native', numPartitions: 3 }] }), false)
    assert.ok((await admin.listTopics()).includes('native'))
    const { topics } = await admin.fetchTopicMetadata({ topics: ['native'] }).then((all) => ({ topics: all.topics ?? all }))
    assert.equal(topics[0].partitions.length, 3)
  },
  async 'every codec, read by kafkajs; and the other way round'() {
    const sent = []
    for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      const producer = kafka.producer({ 'compression.codec': codec, 'linger.ms': 5, 'enable.idempotence': codec === 'zstd' })
      await producer.connect()
      const messages = Array.from({ length: 300 }, (_, n) => ({ key: `k${n % 7}`, value: `${codec} ${n} ${'and so on '.repeat(n % 20)}`, headers: { codec } }))
      await producer.send({ topic: 'native', messages: messages.map((one) => ({ ...one, headers: { ...one.headers } })) }) // it changes what it is given
      await producer.disconnect()
      sent.push(...messages)
    }
    const came = await readAll(other, 'native')
    const order = (list) => list.map(({ key, value, headers }) => `${key} ${value} ${headers.codec}`).sort()
    assert.deepEqual(order(came), order(sent))

    const producer = other.producer(), back = []
    await producer.connect()
    await admin.createTopics({ topics: [{ topic: 'native-back', numPartitions: 1 }] })
    for (const codec of ['None', 'GZIP', 'Snappy', 'LZ4', 'ZSTD'])
      await producer.send({ topic: 'native-back', compression: kafkajs.CompressionTypes[codec], messages: Array.from({ length: 100 }, (_, n) => ({ key: codec, value: `${codec} ${n}` })) })
    await producer.disconnect()
    const reader = await member('native-back', 'native-back', {}, back)
    await until(() => back.length === 500, () => `${back.length} of 500 came`)
    await reader.consumer.disconnect()
    assert.deepEqual(back.map((one) => Number(one.split(' ')[1])), Array.from({ length: 500 }, (_, n) => n))
  },
  async 'a group of the classic protocol shares, and loses nothing'() {
    await share('native-classic', { 'heartbeat.interval.ms': 100 })
  },
  async 'a cooperative group'() {
    await share('native-cooperative', { 'heartbeat.interval.ms': 100, 'partition.assignment.strategy': 'cooperative-sticky' })
  },
  async 'a group of the next protocol (KIP-848)'() {
    await share('native-next', { 'group.protocol': 'consumer' })
  },
  async 'a transaction is whole, or nothing'() {
    await admin.createTopics({ topics: [{ topic: 'native-tx', numPartitions: 2 }] })
    const teller = kafka.producer({ 'transactional.id': 'native-teller' })
    const reader = kafka.consumer({ 'group.id': 'native-once', 'enable.auto.commit': false })
    await teller.connect()
    await reader.connect()
    for (const commit of [false, true]) {
      const transaction = await teller.transaction()
      await transaction.send({ topic: 'native-tx', messages: [{ partition: 0, value: `${commit}` }, { partition: 1, value: `${commit}` }] })
      await transaction.sendOffsets({ consumer: reader, topics: [{ topic: 'native', partitions: [{ partition: 0, offset: commit ? '9' : '5' }] }] })
      await (commit ? transaction.commit() : transaction.abort())
      const [{ partitions }] = await admin.fetchOffsets({ groupId: 'native-once', topics: [{ topic: 'native', partitions: [0] }] })
      assert.equal(Number(partitions[0].offset) > 0 ? partitions[0].offset : null, commit ? '9' : null)
    }
    await reader.disconnect()
    await teller.disconnect()
    assert.deepEqual((await readAll(other, 'native-tx')).map((one) => one.value), ['true', 'true'])
  },
  async 'groups and offsets are told, records and topics deleted'() {
    const { groups } = await admin.listGroups()
    assert.ok(groups.some((one) => one.groupId === 'native-classic'))
    assert.ok(groups.some((one) => one.groupId === 'native-next'))
    const described = await admin.describeGroups(['native-next'])
    assert.equal(described.groups[0].members.length, 0)
    const ends = await admin.fetchTopicOffsets('native-back')
    assert.equal(ends[0].high, '500')
    assert.equal((await admin.fetchTopicOffsetsByTimestamp('native-back', 1))[0].offset, '0')
    await admin.deleteTopicRecords({ topic: 'native-back', partitions: [{ partition: 0, offset: '100' }] })
    assert.equal((await admin.fetchTopicOffsets('native-back'))[0].low, '100')
    await admin.deleteGroups(['native-classic'])
    assert.ok(!(await admin.listGroups()).groups.some((one) => one.groupId === 'native-classic'))
    await admin.deleteTopics({ topics: ['native-back'] })
    assert.ok(!(await admin.listTopics()).includes('native-back'))
  },
  async 'as node-rdkafka: produced, delivered, consumed'() {
    const client = native.AdminClient.create({ 'bootstrap.servers': broker, log_level: 0 })
    await call(client, 'createTopic', { topic: 'rdkafka', num_partitions: 2, replication_factor: 1 })
    const producer = new native.Producer({ 'bootstrap.servers': broker, dr_msg_cb: true, log_level: 0, 'compression.codec': 'lz4' })
    const reports = []
    producer.on('delivery-report', (error, report) => reports.push(error ?? report))
    await call(producer, 'connect', {})
    producer.setPollInterval(20)
    for (let n = 0; n < 500; n++) producer.produce('rdkafka', n % 2, Buffer.from(`${n}`), `k${n}`, Date.now(), n, [{ n: `${n}` }])
    await until(() => reports.length === 500, () => `${reports.length} of 500 are reported`)
    assert.ok(reports.every((one) => one.offset === Math.floor(one.opaque / 2)))
    await call(producer, 'disconnect')

    const consumer = new native.KafkaConsumer({ 'bootstrap.servers': broker, 'group.id': 'rdkafka', log_level: 0, 'enable.auto.commit': false }, { 'auto.offset.reset': 'earliest' })
    const came = []
    await call(consumer, 'connect', {})
    consumer.subscribe(['rdkafka'])
    consumer.on('data', (message) => came.push(message))
    consumer.consume()
    await until(() => came.length === 500, () => `${came.length} of 500 came`)
    for (const one of came) assert.equal(one.headers[0].n.toString(), one.value.toString())
    consumer.commitSync([0, 1].map((partition) => ({ topic: 'rdkafka', partition, offset: 250 })))
    const committed = await call(consumer, 'committed', [{ topic: 'rdkafka', partition: 0 }, { topic: 'rdkafka', partition: 1 }], 10000)
    assert.deepEqual(committed.map((one) => one.offset), [250, 250])
    const { highOffset } = await call(consumer, 'queryWatermarkOffsets', 'rdkafka', 0, 10000)
    assert.equal(highOffset, 250)
    await call(consumer, 'disconnect')
    await call(client, 'createPartitions', 'rdkafka', 3)
    await call(client, 'deleteTopic', 'rdkafka')
    client.disconnect()
  },
  async 'as node-rdkafka: a transaction'() {
    const producer = new native.Producer({ 'bootstrap.servers': broker, 'transactional.id': 'rdkafka-teller', log_level: 0 })
    await call(producer, 'connect', {})
    await call(producer, 'initTransactions', 10000)
    for (const commit of [true, false, true]) {
      await call(producer, 'beginTransaction')
      producer.produce('native-tx', 0, Buffer.from(`rdkafka ${commit}`), null)
      await call(producer, commit ? 'commitTransaction' : 'abortTransaction', 10000)
    }
    await call(producer, 'disconnect')
    assert.equal((await readAll(other, 'native-tx')).filter((one) => one.value === 'rdkafka true').length, 2)
    assert.equal((await readAll(other, 'native-tx')).length, 4)
  },
}

await admin.connect()
const failed = await runTests('@confluentinc/kafka-javascript', tests)
await admin.disconnect()
process.exit(failed)
