/* Messages that librdkafka holds become rows of the landing table, without an object for each. Called
 * by native_fetch.py, which finds librdkafka's functions.
 *
 * librdkafka loads this as a plugin, too (`plugin.library.paths`): so the handle of a client that
 * confluent-kafka makes is told. Rows are those of store/envelope.py, in RowBinary:
 * https://clickhouse.com/docs/interfaces/formats/RowBinary
 */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <time.h>

#include "message.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are written as they are held, which is little endian"
#endif

typedef int on_new_function(void *client, const void *conf, void *opaque, char *why, size_t size);

enum { FETCHED = 0x2, ERROR = 0x8, PARTITION_EOF = -191 };

static struct {
    int (*add_on_new)(void *conf, const char *name, on_new_function *on_new, void *opaque);
    void *(*queue_poll)(void *queue, int timeout_ms);
    int (*event_type)(const void *event);
    const message *(*event_message_next)(void *event);
    void (*event_destroy)(void *event);
    int (*event_error)(void *event);
    topic_partition *(*event_topic_partition)(void *event);
    void (*topic_partition_destroy)(topic_partition *place);
    int64_t (*timestamp)(const message *of, int *kind);
    int (*headers)(const message *of, void **found);
    int (*header_get_all)(const void *headers, size_t index, const char **name, const void **value,
                          size_t *size);
} kafka;

PUBLIC void nrtctl_use(void *const *functions) { memcpy(&kafka, functions, sizeof kafka); }

/* The client that this thread made last. */
static __thread void *made;

static int on_new(void *client, const void *conf, void *opaque, char *why, size_t size) {
    (void)conf, (void)opaque, (void)why, (void)size;
    made = client;
    return 0;
}

PUBLIC int conf_init(void *conf, void **opaque, char *why, size_t size) {
    (void)why, (void)size;
    *opaque = NULL;
    return kafka.add_on_new == NULL ? 0 : kafka.add_on_new(conf, "nrtctl", on_new, NULL);
}

PUBLIC void *nrtctl_made(void) {
    void *client = made;
    made = NULL;
    return client;
}

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Up to `most` messages and errors: those that are there, and behind the first of them those of the
 * next milliseconds. As events, so that librdkafka calls nobody back. An error has no message. */
PUBLIC size_t nrtctl_fetch(void *queue, int gather_ms, void **events, const message **found,
                           size_t most) {
    size_t count = 0;
    int wait = 0;
    int64_t until = 0;
    while (count < most) {
        void *event = kafka.queue_poll(queue, wait);
        if (event == NULL) {
            if (count == 0)
                break;
            int64_t now = milliseconds();
            if (until == 0)
                until = now + gather_ms;
            if (now >= until)
                break;
            wait = (int)(until - now);
            continue;
        }
        wait = 0;
        int type = kafka.event_type(event);
        const message *of = type == FETCHED ? kafka.event_message_next(event) : NULL;
        if (of == NULL && type != ERROR) {
            kafka.event_destroy(event);
            continue;
        }
        events[count] = event;
        found[count++] = of;
    }
    return count;
}

PUBLIC void nrtctl_destroy(void **events, size_t count) {
    for (size_t i = 0; i < count; i++)
        kafka.event_destroy(events[i]);
}

enum { MESSAGES, FAILURE, END };

typedef struct {
    size_t first, behind;
    int32_t partition, kind;
} run;

/* That a log's end was reached, in the place of a message; or an error. */
static run without_message(void *event, size_t at, int64_t *offset) {
    run found = {at, at + 1, -1, FAILURE};
    topic_partition *place =
        kafka.event_error(event) == PARTITION_EOF ? kafka.event_topic_partition(event) : NULL;
    if (place != NULL) {
        found.partition = place->partition;
        found.kind = END;
        *offset = place->offset;
        kafka.topic_partition_destroy(place);
    }
    return found;
}

/* Messages of one partition that came one after another, with ascending offsets, are a run; an error
 * is one by itself, and so is a log's end. The offset of each message and end, and the runs, which are
 * at most as many; how many they are. */
PUBLIC size_t nrtctl_runs(void *const *events, const message *const *found, size_t count,
                          int64_t *offsets, run *runs) {
    run *last = NULL;
    size_t many = 0;
    for (size_t i = 0; i < count; i++) {
        const message *of = found[i];
        if (of == NULL) {
            offsets[i] = -1;
            last = &runs[many++];
            *last = without_message(events[i], i, &offsets[i]);
            continue;
        }
        offsets[i] = of->offset;
        if (last == NULL || last->kind != MESSAGES || of->partition != last->partition ||
            of->offset <= offsets[i - 1]) {
            last = &runs[many++];
            *last = (run){i, i, of->partition, MESSAGES};
        }
        last->behind = i + 1;
    }
    return many;
}

static size_t varint_size(uint64_t value) {
    size_t size = 1;
    while (value > 127) {
        value >>= 7;
        size++;
    }
    return size;
}

static char *put_varint(char *at, uint64_t value) {
    while (value > 127) {
        *at++ = (char)((value & 127) | 128);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static size_t nullable_size(const void *text, size_t size) {
    return text == NULL ? 1 : 1 + varint_size(size) + size;
}

static char *put_text(char *at, const void *text, size_t size) {
    at = put_varint(at, size);
    if (size > 0)
        memcpy(at, text, size);
    return at + size;
}

static char *put_nullable(char *at, const void *text, size_t size) {
    *at++ = text == NULL;
    return text == NULL ? at : put_text(at, text, size);
}

static size_t headers_of(const message *of, void **headers) {
    const char *name;
    const void *value;
    size_t size, count = 0;
    if (kafka.headers(of, headers) != 0)
        return 0;
    while (kafka.header_get_all(*headers, count, &name, &value, &size) == 0)
        count++;
    return count;
}

static size_t headers_size(const message *of) {
    void *headers = NULL;
    size_t count = headers_of(of, &headers), found = varint_size(count);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t size;
        kafka.header_get_all(headers, i, &name, &value, &size);
        size_t length = strlen(name);
        found += varint_size(length) + length + nullable_size(value, size);
    }
    return found;
}

static char *put_headers(char *at, const message *of) {
    void *headers = NULL;
    size_t count = headers_of(of, &headers);
    at = put_varint(at, count);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t size;
        kafka.header_get_all(headers, i, &name, &value, &size);
        at = put_text(at, name, strlen(name));
        at = put_nullable(at, value, size);
    }
    return at;
}

/* The bytes of each row; those of all. */
PUBLIC size_t nrtctl_sizes(const message *const *found, size_t count, size_t prefix_size, uint64_t *sizes) {
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        const message *of = found[i];
        sizes[i] = prefix_size + 16 + headers_size(of) + nullable_size(of->key, of->key_size) +
                   nullable_size(of->value, of->value_size);
        all += sizes[i];
    }
    return all;
}

/* The rows, one behind another, as many bytes as nrtctl_sizes has told. */
PUBLIC void nrtctl_rows(const message *const *found, size_t count, const void *prefix, size_t prefix_size,
                          char *into) {
    char *at = into;
    for (size_t i = 0; i < count; i++) {
        const message *of = found[i];
        int kind;
        int64_t timestamp = kafka.timestamp(of, &kind);
        if (timestamp < 0)
            timestamp = 0;
        memcpy(at, prefix, prefix_size);
        memcpy(at + prefix_size, &of->offset, 8);
        memcpy(at + prefix_size + 8, &timestamp, 8);
        at = put_headers(at + prefix_size + 16, of);
        at = put_nullable(at, of->key, of->key_size);
        at = put_nullable(at, of->value, of->value_size);
    }
}
