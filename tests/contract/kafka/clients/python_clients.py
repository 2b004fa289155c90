"""kafka-python and aiokafka: `python_clients.py HOST:PORT` writes, and reads in a group."""

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


print(kafka_python(), asyncio.run(aio()))
