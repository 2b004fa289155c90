// kafkajs: `node kafkajs.mjs HOST:PORT` writes, reads in a group, and asks as an administrator.
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
await producer.disconnect();
await admin.disconnect();
