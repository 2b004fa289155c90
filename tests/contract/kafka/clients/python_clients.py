"""kafka-python and aiokafka: `python_clients.py HOST:PORT` writes, and reads in a group; then the
same in transactions, of which every second one is aborted."""

import asyncio
import sys
import time

import aiokafka.admin  # type: ignore[import-not-found]
import kafka.admin  # type: ignore[import-not-found]

BROKER = sys.argv[1]


def kafka_python() -> int:
    topic = f"kafka-python-{time.time_ns()}"
    admin = kafka.KafkaAdminClient(bootstrap_servers=BROKER)
    admin.create_topics([kafka.admin.NewTopic(topic, 3, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=BROKER, compression_type="gzip")
    for number in range(300):
        producer.send(topic, b"v%d" % number, b"k%d" % number)
    producer.close()
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=BROKER, group_id=topic, auto_offset_reset="earliest"
    )
    found = [message.value for _, message in zip(range(300), consumer, strict=False)]
    consumer.commit()
    consumer.close()
    admin.delete_topics([topic])
    return len(set(found))


async def aio() -> int:
    topic = f"aiokafka-{time.time_ns()}"
    admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([aiokafka.admin.NewTopic(topic, 3, 1)])
    async with aiokafka.AIOKafkaProducer(
        bootstrap_servers=BROKER, enable_idempotence=True
    ) as producer:
        for number in range(300):
            await producer.send_and_wait(topic, b"v%d" % number)
    found = set()
    async with aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=BROKER, group_id=topic, auto_offset_reset="earliest"
    ) as consumer:
        async for message in consumer:
            found.add(message.value)
            if len(found) == 300:
                break
    await admin.delete_topics([topic])
    await admin.close()
    return len(found)


def kafka_python_transactions() -> int:
    topic = f"kafka-python-t-{time.time_ns()}"
    kafka.KafkaAdminClient(bootstrap_servers=BROKER).create_topics(
        [kafka.admin.NewTopic(topic, 3, 1)]
    )
    producer = kafka.KafkaProducer(bootstrap_servers=BROKER, transactional_id=topic)
    producer.init_transactions()
    for number in range(20):
        producer.begin_transaction()
        for place in range(10):
            producer.send(topic, b"v%d-%d" % (number, place))
        if number % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=BROKER,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        consumer_timeout_ms=3_000,
    )
    found = [message.value for message in consumer]
    consumer.close()
    return len(found) if len(set(found)) == len(found) else -1


async def aio_transactions() -> tuple[int, int]:
    """Messages that are read, and the offset that was committed with them."""
    topic = f"aiokafka-t-{time.time_ns()}"
    admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([aiokafka.admin.NewTopic(topic, 1, 1)])
    place = aiokafka.TopicPartition(topic, 0)
    async with aiokafka.AIOKafkaProducer(
        bootstrap_servers=BROKER, transactional_id=topic
    ) as producer:
        for number in range(20):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"v%d" % number)
            await producer.send_offsets_to_transaction({place: number}, topic)
            if number % 2:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    found: list[bytes] = []
    async with aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=BROKER,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        while len(found) < 10:
            found.append((await consumer.getone()).value)
    group = await admin.list_consumer_group_offsets(topic)
    await admin.close()
    return len(set(found)), group[place].offset


print(kafka_python(), asyncio.run(aio()))
print(kafka_python_transactions(), *asyncio.run(aio_transactions()))
