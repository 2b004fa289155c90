"""confluent-kafka's own registry client and serializers, with a local stack: `confluent.py FILE`.

FILE is what `nrtctl status --connect -o json` prints. There are orders of `nrtctl produce`; more
are written here.
"""

import json
import sys
import time
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

with open(sys.argv[1]) as file:
    connect = json.load(file)
client = SchemaRegistryClient(
    {
        "url": connect["registry"]["schema.registry.url"],
        "basic.auth.user.info": connect["registry"]["basic.auth.user.info"],
    }
)
print("subjects", client.get_subjects())
latest = client.get_latest_version("shop-value")
print("latest", latest.schema_id, latest.version, latest.schema.schema_type)
assert latest.schema_id is not None
assert latest.schema.schema_str is not None
assert client.get_schema(latest.schema_id).schema_str == latest.schema.schema_str
assert client.lookup_schema("shop-value", latest.schema).version == 1

value = SerializationContext("shop", MessageField.VALUE)
read = AvroDeserializer(client)
consumer = Consumer({**connect["librdkafka"], "group.id": "c", "auto.offset.reset": "earliest"})
consumer.subscribe(["shop"])
found: list[Any] = []
deadline = time.monotonic() + 60
while len(found) < 5 and time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is not None and not message.error():
        found.append(read(message.value(), value))
consumer.close()
print("read", sorted((each["id"], str(each["price"])) for each in found))

grown = json.loads(latest.schema.schema_str)
grown["fields"].append({"name": "color", "type": "string", "default": "red"})
write = AvroSerializer(client, json.dumps(grown))
producer = Producer(connect["librdkafka"])
for at in range(10, 15):
    order = {**found[0], "id": at, "color": "blue"}
    producer.produce("shop", write(order, value))
assert producer.flush(30) == 0
print("versions", client.get_versions("shop-value"))

broken = json.loads(latest.schema.schema_str)
broken["fields"].append({"name": "must", "type": "string"})
print("compatible", client.test_compatibility("shop-value", Schema(json.dumps(broken), "AVRO")))
try:
    client.register_schema("shop-value", Schema(json.dumps(broken), "AVRO"))
except SchemaRegistryError as error:
    print("refused", error.http_status_code, error.error_code)
try:
    client.get_latest_version("nothing")
except SchemaRegistryError as error:
    print("missing", error.http_status_code, error.error_code)

schema = '{"title": "T", "type": "object", "properties": {"a": {"type": "integer"}}}'
other = SerializationContext("other", MessageField.VALUE)
data = JSONSerializer(schema, client)({"a": 7}, other)
print("json", JSONDeserializer(schema, schema_registry_client=client)(data, other))

part = {"type": "record", "name": "Part", "fields": [{"name": "n", "type": "int"}]}
client.register_schema("part", Schema(json.dumps(part), "AVRO"))
whole = {"type": "record", "name": "Whole", "fields": [{"name": "p", "type": "Part"}]}
refers = Schema(json.dumps(whole), "AVRO", [SchemaReference("Part", "part", 1)])
number = client.register_schema("whole", refers, normalize_schemas=True)
references = client.get_schema(number).references or []
assert references[0].subject == "part"
client.set_compatibility("whole", "FULL")
print("level", client.get_compatibility("whole"))
print("deleted", client.delete_subject("whole"), client.delete_subject("whole", permanent=True))
