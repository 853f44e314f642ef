// What a user of either client does, against the door of the program named by the first argument: see ../registry_npm.sh.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";

const require = createRequire(import.meta.url);
const kafkajs = require("@kafkajs/confluent-schema-registry");
const confluent = require("@confluentinc/schemaregistry");
const protobuf = require("@bufbuild/protobuf");
const fixture = (name) => require(`./node_modules/@confluentinc/schemaregistry/dist/test/serde/test/${name}`);

const server = spawn(process.argv[2], ["serve"], { stdio: ["pipe", "pipe", "inherit"] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;
const url = `http://127.0.0.1:${await line()}`;
const validate = async (subject, bytes) => {
  server.stdin.write(`${subject} ${Buffer.from(bytes).toString("hex")}\n`);
  return line();
};

let failed = 0;
const check = async (name, test) => {
  try {
    await test();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = 1;
    console.log(`not ok ${name}: ${error?.stack ?? error}`);
  }
};

// ---- @kafkajs/confluent-schema-registry

const { SchemaRegistry, SchemaType, COMPATIBILITY } = kafkajs;
const registry = new SchemaRegistry({ host: url });
const user = { type: "record", name: "User", namespace: "com.example", fields: [{ name: "id", type: "long" }, { name: "name", type: "string" }] };

await check("kafkajs: Avro there and back", async () => {
  const { id } = await registry.register(user);
  const bytes = await registry.encode(id, { id: 7, name: "Ada" });
  assert.deepEqual({ ...(await registry.decode(bytes)) }, { id: 7, name: "Ada" });
  assert.equal(await registry.getLatestSchemaId("com.example.User"), id);
  assert.equal(await registry.getRegistryId("com.example.User", 1), id);
  assert.equal(await registry.getRegistryIdBySchema("com.example.User", { type: SchemaType.AVRO, schema: JSON.stringify(user) }), id);
  assert.equal(await validate("com.example.User", bytes), "ok");
  assert.match(await validate("another", bytes), /is not of the subject/);
  assert.match(await validate("com.example.User", bytes.subarray(0, -1)), /beyond the end/);
});

await check("kafkajs: a reader's schema resolves", async () => {
  const { id } = await registry.register(user);
  const bytes = await registry.encode(id, { id: 7, name: "Ada" });
  const fresh = new SchemaRegistry({ host: url });
  const reader = { ...user, fields: [...user.fields, { name: "mail", type: ["null", "string"], default: null }] };
  assert.deepEqual({ ...(await fresh.decode(bytes, { [SchemaType.AVRO]: { readerSchema: reader } })) }, { id: 7, name: "Ada", mail: null });
});

await check("kafkajs: an incompatible schema is refused, another level is told", async () => {
  const changed = { ...user, fields: [...user.fields, { name: "age", type: "int" }] };
  await assert.rejects(registry.register(changed), (error) => /incompatible/.test(error.message));
  await assert.rejects(registry.register(user, { compatibility: COMPATIBILITY.FULL }), /Compatibility does not match/);
});

await check("kafkajs: JSON Schema there and back", async () => {
  const schema = JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", type: "object", required: ["n"], properties: { n: { type: "number" } } });
  const { id } = await registry.register({ type: SchemaType.JSON, schema }, { subject: "json-value" });
  const bytes = await registry.encode(id, { n: 1.5 });
  assert.deepEqual(await registry.decode(bytes), { n: 1.5 });
  assert.equal(await validate("json-value", bytes), "ok");
  assert.match(await validate("json-value", Buffer.concat([bytes.subarray(0, 5), Buffer.from("{}")])), /"n" is missing/);
});

await check("kafkajs: Protobuf with a reference", async () => {
  await registry.register({ type: SchemaType.PROTOBUF, schema: 'syntax = "proto3"; package m; message Money { int64 cents = 1; }' }, { subject: "m.proto" });
  const { id } = await registry.register(
    { type: SchemaType.PROTOBUF, schema: 'syntax = "proto3"; package o; import "m.proto"; message Order { string id = 1; m.Money total = 2; }',
      references: [{ name: "m.proto", subject: "m.proto", version: 1 }] }, { subject: "order-value" });
  const fresh = new SchemaRegistry({ host: url });
  const bytes = await registry.encode(id, { id: "a", total: { cents: 5 } });
  const back = await fresh.decode(bytes);
  assert.equal(back.id, "a");
  assert.equal(Number(back.total.cents), 5);
});

// ---- @confluentinc/schemaregistry

const { SchemaRegistryClient, SerdeType, Compatibility } = confluent;
const make = () => SchemaRegistryClient.newClient({ baseURLs: [url], cacheCapacity: 100, maxRetries: 0 });
const client = make();

await check("confluent: Avro there and back, with a new version", async () => {
  const topic = "people", subject = "people-value";
  const v1 = { type: "record", name: "Person", fields: [{ name: "name", type: "string" }] };
  const v2 = { ...v1, fields: [...v1.fields, { name: "age", type: ["null", "int"], default: null }] };
  assert.equal(await client.register(subject, { schema: JSON.stringify(v1), schemaType: "AVRO" }), await client.getId(subject, { schema: JSON.stringify(v1), schemaType: "AVRO" }));
  const old = await new confluent.AvroSerializer(client, SerdeType.VALUE, { useLatestVersion: true }).serialize(topic, { name: "Ada" });
  assert.equal(await client.testSubjectCompatibility(subject, { schema: JSON.stringify(v2), schemaType: "AVRO" }), true);
  await client.register(subject, { schema: JSON.stringify(v2), schemaType: "AVRO" });
  const second = make();
  const bytes = await new confluent.AvroSerializer(second, SerdeType.VALUE, { useLatestVersion: true }).serialize(topic, { name: "Bob", age: 3 });
  const reader = new confluent.AvroDeserializer(make(), SerdeType.VALUE, { useLatestVersion: true });
  assert.deepEqual({ ...(await reader.deserialize(topic, bytes)) }, { name: "Bob", age: 3 });
  assert.deepEqual({ ...(await reader.deserialize(topic, old)) }, { name: "Ada", age: null });
  assert.equal(await validate(subject, bytes), "ok");
  assert.deepEqual(await client.getAllVersions(subject), [1, 2]);
});

await check("confluent: Avro, the id as a guid in a header", async () => {
  const headers = {};
  const subject = "guided-value";
  await client.register(subject, { schema: '{"type":"record","name":"G","fields":[{"name":"n","type":"int"}]}', schemaType: "AVRO" });
  const serializer = new confluent.AvroSerializer(make(), SerdeType.VALUE, { useLatestVersion: true, schemaIdSerializer: confluent.HeaderSchemaIdSerializer });
  const bytes = await serializer.serialize("guided", { n: 4 }, headers);
  const back = await new confluent.AvroDeserializer(make(), SerdeType.VALUE, {}).deserialize("guided", bytes, headers);
  assert.deepEqual({ ...back }, { n: 4 });
});

await check("confluent: JSON Schema there and back, references, validated", async () => {
  await client.register("name.json", { schemaType: "JSON", schema: '{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}' });
  await client.register("things-value", { schemaType: "JSON", schema: '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"name":{"$ref":"name.json"}},"required":["name"]}',
    references: [{ name: "name.json", subject: "name.json", version: 1 }] });
  const serializer = new confluent.JsonSerializer(make(), SerdeType.VALUE, { useLatestVersion: true, validate: true });
  const bytes = await serializer.serialize("things", { name: "x" });
  assert.deepEqual(await new confluent.JsonDeserializer(make(), SerdeType.VALUE, { validate: true }).deserialize("things", bytes), { name: "x" });
  await assert.rejects(serializer.serialize("things", { name: 5 }), /Invalid message/);
  assert.equal(await validate("things-value", bytes), "ok");
  assert.match(await validate("things-value", Buffer.concat([bytes.subarray(0, 5), Buffer.from('{"name":5}')])), /string/);
});

const roundTrip = async (topic, schema, value) => {
  const serializer = new confluent.ProtobufSerializer(make(), SerdeType.VALUE, { autoRegisterSchemas: true });
  serializer.registry.add(schema);
  const sent = protobuf.create(schema, value);
  const bytes = await serializer.serialize(topic, sent);
  const back = await new confluent.ProtobufDeserializer(make(), SerdeType.VALUE, {}).deserialize(topic, bytes);
  assert.deepEqual(protobuf.toJson(schema, back), protobuf.toJson(schema, sent));
  assert.equal(await validate(`${topic}-value`, bytes), "ok");
  return bytes;
};

await check("confluent: Protobuf as a descriptor, first and second message", async () => {
  const { AuthorSchema, PizzaSchema } = fixture("example_pb");
  await roundTrip("authors", AuthorSchema, { name: "Kafka", id: 123, picture: Buffer.from([1, 2]), works: ["The Castle", "The Trial"] });
  const bytes = await roundTrip("pizzas", PizzaSchema, { size: "Extra extra large", toppings: ["anchovies", "mushrooms"] });
  assert.match(await validate("pizzas-value", Buffer.concat([bytes.subarray(0, 5), Buffer.from([2, 98])])), /index/);
});

await check("confluent: Protobuf nested, in a circle, with imports", async () => {
  const { NestedMessage_InnerMessageSchema } = fixture("nested_pb");
  await roundTrip("nested", NestedMessage_InnerMessageSchema, { id: "inner" });
  const { LinkedListSchema } = fixture("cycle_pb");
  await roundTrip("cycle", LinkedListSchema, { value: 1, next: protobuf.create(LinkedListSchema, { value: 2 }) });
  const { DependencyMessageSchema } = fixture("dep_pb");
  const { TestMessageSchema } = fixture("test_pb");
  const inner = protobuf.create(TestMessageSchema, { testString: "hi", testBool: true, testBytes: Buffer.from([1, 2]), testDouble: 1.23, testFloat: 3.5, testFixed32: 1,
    testFixed64: 2n, testInt32: 3, testInt64: 4n, testSfixed32: 5, testSfixed64: 6n, testSint32: 7, testSint64: 8n, testUint32: 9, testUint64: 10n });
  await roundTrip("deps", DependencyMessageSchema, { isActive: true, testMesssage: inner });
});

await check("confluent: Protobuf that was registered as text", async () => {
  const { AuthorSchema } = fixture("example_pb");
  const text = `syntax = "proto3"; package test; message Author { string name = 1; int32 id = 2; bytes picture = 3; repeated string works = 4; oneof pii_oneof { string oneof_string = 5; } }`;
  await client.register("texts-value", { schemaType: "PROTOBUF", schema: text });
  const serializer = new confluent.ProtobufSerializer(make(), SerdeType.VALUE, { useLatestVersion: true });
  serializer.registry.add(AuthorSchema);
  const bytes = await serializer.serialize("texts", protobuf.create(AuthorSchema, { name: "Kafka", works: ["a"] }));
  const back = await new confluent.ProtobufDeserializer(make(), SerdeType.VALUE, {}).deserialize("texts", bytes);
  assert.equal(back.name, "Kafka");
  assert.deepEqual(back.works, ["a"]);
});

await check("confluent: settings, metadata, look-ups, deletion", async () => {
  const subject = "settings:with.signs";
  const schema = '{"type":"record","name":"S","fields":[]}';
  assert.equal(await client.getDefaultCompatibility(), "BACKWARD");
  const config = await client.updateConfig(subject, { compatibilityLevel: Compatibility.FULL, normalize: true });
  assert.equal(config.compatibilityLevel ?? config.compatibility, "FULL");
  assert.equal(await client.getCompatibility(subject), "FULL");
  assert.equal(await client.updateDefaultCompatibility(Compatibility.FORWARD_TRANSITIVE), "FORWARD_TRANSITIVE");
  assert.equal((await client.getDefaultConfig()).compatibilityLevel, "FORWARD_TRANSITIVE");
  await client.updateDefaultCompatibility(Compatibility.BACKWARD);
  const metadata = { properties: { owner: "me" } };
  const full = await client.registerFullResponse(subject, { schemaType: "AVRO", schema, metadata });
  assert.equal(full.version, 1);
  assert.equal((await client.getByGuid(full.guid)).schema, (await client.getBySubjectAndId(subject, full.id)).schema);
  assert.equal((await client.getLatestWithMetadata(subject, { owner: "me" })).id, full.id);
  assert.equal(await client.getVersion(subject, { schemaType: "AVRO", schema, metadata }), 1);
  assert.equal((await client.getLatestSchemaMetadata(subject)).version, 1);
  assert.ok((await client.getAllSubjects()).includes(subject));
  assert.equal(await client.deleteSubjectVersion(subject, 1), 1);
  await assert.rejects(make().getLatestSchemaMetadata(subject), (error) => error.errorCode === 40401);
  assert.equal((await make().getSchemaMetadata(subject, 1, true)).version, 1);
  assert.deepEqual(await client.deleteSubject(subject, true), [1]);
  await assert.rejects(make().getSchemaMetadata(subject, 1, true), (error) => error.errorCode === 40401 && error.status === 404);
});

server.stdin.end();
process.exit(failed);
