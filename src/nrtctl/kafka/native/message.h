/* Declared as in librdkafka's rdkafka.h (2.x): `rd_kafka_message_t` has been the same since 1.0. */
#ifndef NRTCTL_MESSAGE_H
#define NRTCTL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define PUBLIC __attribute__((visibility("default")))

typedef struct {
    int error;
    void *topic;
    int32_t partition;
    void *value;
    size_t value_size;
    void *key;
    size_t key_size;
    int64_t offset;
    void *opaque;
} message;

/* The beginning of `rd_kafka_topic_partition_t`, likewise. */
typedef struct {
    char *topic;
    int32_t partition;
    int64_t offset;
} topic_partition;

#endif
