// kafkajs: `node kafkajs.mjs HOST:PORT` writes, reads in a group, asks as an administrator, and does
// the same in transactions, of which every second one is aborted.
import kafkajs from "kafkajs";
const kafka = new kafkajs.Kafka({ brokers: [process.argv[2]], logLevel: kafkajs.logLevel.NOTHING });
const admin = kafka.admin();
const topic = `kafkajs-${Date.now()}`;
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] });
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
await producer.connect();
const messages = [...Array(300).keys()].map((n) => ({ key: `k${n}`, value: `v${n}` }));
await producer.send({ topic, messages, compression: kafkajs.CompressionTypes.GZIP });
const consumer = kafka.consumer({ groupId: topic });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
let count = 0;
await new Promise((done) =>
  consumer.run({ eachMessage: async () => void (++count === 300 && done()) }),
);
await consumer.disconnect();
const offsets = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
const stored = offsets[0].partitions.reduce((sum, each) => sum + Math.max(+each.offset, 0), 0);
const { entries = [] } = { entries: (await admin.describeConfigs({
  includeSynonyms: false, resources: [{ type: 2, name: topic }],
})).resources[0].configEntries };
await admin.deleteTopics({ topics: [topic] });
console.log(count, stored, entries.length > 30);
const target = `${topic}-t`;
await admin.createTopics({ topics: [{ topic: target, numPartitions: 3 }] });
const writer = kafka.producer({ transactionalId: target, maxInFlightRequests: 1, idempotent: true });
await writer.connect();
for (let n = 0; n < 20; n++) {
  const transaction = await writer.transaction();
  const three = [0, 1, 2].map((partition) => ({ partition, value: `${n}` }));
  await transaction.send({ topic: target, messages: three });
  const partitions = [{ partition: 0, offset: `${n}` }];
  await transaction.sendOffsets({ consumerGroupId: target, topics: [{ topic: target, partitions }] });
  await (n % 2 ? transaction.abort() : transaction.commit());
}
const reader = kafka.consumer({ groupId: `${target}-r` });
await reader.connect();
await reader.subscribe({ topic: target, fromBeginning: true });
const values = [];
await new Promise((done) =>
  reader.run({ eachMessage: async ({ message }) =>
    void (values.push(+message.value) === 30 && done()) }),
);
await reader.disconnect();
const [kept] = await admin.fetchOffsets({ groupId: target, topics: [target] });
const offset = kept.partitions.find((each) => each.partition === 0).offset;
console.log(values.every((each) => each % 2 === 0), offset);
await writer.disconnect();
await producer.disconnect();
await admin.disconnect();
