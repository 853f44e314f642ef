// kafkajs against a broker: node kafkajs.mjs HOST:PORT. See ../kafka_npm.sh.
import assert from 'node:assert/strict'
import { kafkajs, readAll, runTests, until } from './rig.mjs'

const {
  Kafka, logLevel, CompressionTypes, ConfigResourceTypes,
  AclResourceTypes, AclOperationTypes, AclPermissionTypes, ResourcePatternTypes,
} = kafkajs
const kafka = new Kafka({ clientId: 'test', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const topic = 'from-js'
const group = 'js-readers'
const admin = kafka.admin()
const producer = kafka.producer()
const ends = async () => (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition)
const total = async () => (await ends()).reduce((sum, one) => sum + Number(one.high), 0)

// Read with a group until there are `count` records; what came, by partition in order.
async function read(groupId, count, options = {}) {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 300, ...options })
  const came = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${came.length} of ${count} records came`)), 30000)
    consumer.on(consumer.events.END_BATCH_PROCESS, () => { // not before: a record counts as read when its batch is over
      if (came.length === count) { clearTimeout(late); resolve() }
    })
    consumer.run({
      eachMessage: async ({ message }) => {
        came.push({ key: message.key.toString(), value: message.value.toString(), headers: message.headers })
      },
    })
  })
  await consumer.stop() // commits
  await consumer.disconnect()
  return came
}

const tests = {
  async 'topics are made, told of and grow'() {
    assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '90000000' }] }] }), true)
    assert.equal(await admin.createTopics({ topics: [{ topic }] }), false) // it is there
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    assert.equal(topics[0].partitions.length, 4)
    assert.ok((await admin.listTopics()).includes(topic))
    assert.equal((await admin.describeCluster()).brokers.length, 1)
  },
  async 'settings are told and changed'() {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }]
    const before = await admin.describeConfigs({ includeSynonyms: true, resources })
    assert.equal(before.resources[0].configEntries[0].configValue, '90000000')
    await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: '80000000' }] }] })
    const after = await admin.describeConfigs({ includeSynonyms: false, resources })
    assert.equal(after.resources[0].configEntries[0].configValue, '80000000')
  },
  async 'records go in, also compressed, and come out by key in order'() {
    for (let i = 0; i < 5; i++) {
      const messages = Array.from({ length: 100 }, (_, n) => ({ key: `k${n % 10}`, value: `${i * 100 + n}`, headers: { source: 'js' } }))
      await producer.send({ topic, acks: i % 2 ? 1 : -1, compression: i === 2 ? CompressionTypes.GZIP : CompressionTypes.None, messages })
    }
    const came = await read(group, 500)
    const last = new Map()
    for (const { key, value, headers } of came) {
      assert.equal(headers.source.toString(), 'js')
      assert.ok((last.get(key) ?? -1) < Number(value))
      last.set(key, Number(value))
    }
    assert.equal(new Set(came.map((one) => one.value)).size, 500)
  },
  async 'every codec, keys, headers and nulls'() {
    await admin.createTopics({ topics: [{ topic: 'codecs', numPartitions: 2 }] })
    const sent = []
    for (const codec of ['None', 'GZIP', 'Snappy', 'LZ4', 'ZSTD']) {
      const messages = Array.from({ length: 200 }, (_, n) => ({ key: `k${n % 7}`, value: `${codec} ${n} ${'and so on '.repeat(n % 20)}`, headers: { codec, twice: ['a', 'b'] } }))
      messages.push({ key: 'gone', value: null, headers: { codec } })
      await producer.send({ topic: 'codecs', compression: CompressionTypes[codec], messages })
      sent.push(...messages)
    }
    const came = await readAll(kafka, 'codecs')
    const order = (list) => list.map(({ key, value, headers }) => ({ key, value, headers: `${headers.codec} ${headers.twice}` })).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key))
    assert.deepEqual(order(came), order(sent))
  },
  async 'a group goes on where it stopped'() {
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    assert.equal(partitions.reduce((sum, one) => sum + Math.max(0, Number(one.offset)), 0), 500)
    await producer.send({ topic, messages: [{ key: 'k1', value: '500' }] })
    assert.deepEqual((await read(group, 1)).map((one) => one.value), ['500'])
  },
  async 'offsets are set and reset'() {
    const offsets = async () => (await admin.fetchOffsets({ groupId: group, topics: [topic], resolveOffsets: true }))[0].partitions.sort((a, b) => a.partition - b.partition).map((one) => one.offset)
    await admin.setOffsets({ groupId: group, topic, partitions: [0, 1, 2, 3].map((partition) => ({ partition, offset: '0' })) })
    assert.deepEqual(await offsets(), ['0', '0', '0', '0'])
    assert.equal((await read(group, 501)).length, 501)
    await admin.resetOffsets({ groupId: group, topic, earliest: false })
    assert.deepEqual(await offsets(), (await ends()).map((one) => one.high))
  },
  async 'two members share, and one takes over'() {
    const assigned = []
    const both = await Promise.all([0, 1].map(async (which) => {
      const consumer = kafka.consumer({ groupId: 'js-two', maxWaitTimeInMs: 300 })
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { assigned[which] = payload.memberAssignment[topic] ?? [] })
      await consumer.connect()
      await consumer.subscribe({ topic })
      await consumer.run({ eachMessage: async () => {} })
      return consumer
    }))
    await until(() => assigned[0]?.length === 2 && assigned[1]?.length === 2)
    assert.deepEqual([...assigned[0], ...assigned[1]].sort(), [0, 1, 2, 3])
    const { groups } = await admin.describeGroups(['js-two'])
    assert.equal(groups[0].members.length, 2)
    await both[0].disconnect()
    await until(() => assigned[1].length === 4)
    await both[1].disconnect()
  },
  async 'a transaction is whole, or nothing'() {
    const teller = kafka.producer({ transactionalId: 'js-transaction', idempotent: true, maxInFlightRequests: 1 })
    await teller.connect()
    const before = await total()
    for (const commit of [false, true]) {
      const transaction = await teller.transaction()
      await transaction.send({ topic, messages: [{ key: 'k1', value: 'in' }, { key: 'k2', value: 'all' }] })
      await transaction.sendOffsets({ consumerGroupId: 'js-once', topics: [{ topic, partitions: [{ partition: 0, offset: commit ? '9' : '5' }] }] })
      await (commit ? transaction.commit() : transaction.abort())
      assert.equal(await total(), before + (commit ? 2 : 0))
      const [{ partitions }] = await admin.fetchOffsets({ groupId: 'js-once', topics: [topic] })
      assert.equal(partitions.find((one) => one.partition === 0).offset, commit ? '9' : '-1')
    }
    await teller.disconnect()
  },
  async 'offsets by time, and records deleted'() {
    assert.ok((await admin.fetchTopicOffsetsByTimestamp(topic, 0)).every((one) => one.offset === '0'))
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
    assert.deepEqual((await ends()).map((one) => one.low), ['1', '0', '0', '0'])
  },
  async 'access control lists'() {
    const acl = {
      resourceType: AclResourceTypes.TOPIC, resourceName: topic, resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: 'User:ann', host: '*', operation: AclOperationTypes.READ, permissionType: AclPermissionTypes.ALLOW,
    }
    await admin.createAcls({ acl: [acl] })
    const { resources } = await admin.describeAcls(acl)
    assert.equal(resources[0].acls[0].principal, 'User:ann')
    const { filterResponses } = await admin.deleteAcls({ filters: [acl] })
    assert.equal(filterResponses[0].matchingAcls.length, 1)
  },
  async 'groups and topics go'() {
    await admin.deleteGroups([group, 'js-two', 'js-once'])
    assert.ok(!(await admin.listGroups()).groups.some((one) => one.groupId === group))
    await admin.deleteTopics({ topics: [topic] })
    assert.ok(!(await admin.listTopics()).includes(topic))
  },
}

await admin.connect()
await producer.connect()
const failed = await runTests('kafkajs', tests)
await producer.disconnect()
await admin.disconnect()
process.exit(failed)
