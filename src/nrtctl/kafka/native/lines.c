/* Lines of a text, the keys in them, and messages of both, without an object for each. Called by
 * producer/sources/files/line_spans.py and bulk.py. Begins and sizes are in bytes of the text. */
#define _GNU_SOURCE
#include <string.h>

#include "message.h"

enum { NOT_TAKEN = -1, DIGITS = 18 };

static int is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && (text[i] < '\t' || text[i] > '\r'))
            return 0;
    return 1;
}

/* Whether the text has these bytes somewhere. */
PUBLIC int nrtctl_has(const char *text, size_t size, const char *sought, size_t sought_size) {
    return memmem(text, size, sought, sought_size) != NULL;
}

/* How many ends of lines the text has. */
PUBLIC size_t nrtctl_ends(const char *text, size_t size) {
    size_t count = 0;
    const char *end = text + size;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        text++;
        count++;
    }
    return count;
}

/* The lines without their ends, and without those that are blank; how many they are, of `all`. There
 * is room for as many as the text has ends of lines, and one. */
PUBLIC size_t nrtctl_lines(const char *text, size_t size, int64_t *begins, int64_t *sizes,
                           size_t *all) {
    size_t count = 0, at = 0;
    *all = 0;
    while (at < size) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - text) - at;
        if (!is_blank(text + at, length)) {
            begins[count] = (int64_t)at;
            sizes[count] = (int64_t)length;
            count++;
        }
        ++*all;
        at += length + 1;
    }
    return count;
}

/* The size of a string of plain ASCII that begins there, without its quotation marks. */
static int64_t text_size(const char *at, const char *end) {
    for (const char *c = at; c < end; c++) {
        if (*c == '"')
            return c - at;
        if (*c < ' ' || *c > '~')
            return NOT_TAKEN;
    }
    return NOT_TAKEN;
}

/* The size of a whole number that surely fits into 64 bits, and is followed by what may follow it. */
static int64_t number_size(const char *at, const char *end) {
    const char *digits = at + (at < end && *at == '-'), *c = digits;
    while (c < end && *c >= '0' && *c <= '9')
        c++;
    if (c == digits || c - digits > DIGITS || c == end || (*c != ',' && *c != '}'))
        return NOT_TAKEN;
    if (*digits == '0' && (c - digits > 1 || digits != at))
        return NOT_TAKEN;
    return c - at;
}

/* A key is taken from where it stands, without parsing the line, where nothing else can be meant: in
 * a line without a backslash, with one brace that opens an object, and with the key's name in
 * quotation marks just once, and a colon behind it. Such a line, if it is JSON at all, has the key at
 * its top, once: a string with quotation marks in it would need a backslash. */
static int64_t find_key(const char *line, const char *end, const char *name, size_t name_size,
                        const char **key) {
    size_t size = (size_t)(end - line);
    if (size < 2 || line[0] != '{' || end[-1] != '}' || memchr(line + 1, '{', size - 1) != NULL ||
        memchr(line, '\\', size) != NULL)
        return NOT_TAKEN;
    const char *at = memmem(line, size, name, name_size);
    if (at == NULL)
        return NOT_TAKEN;
    at += name_size;
    if (at == end || *at != ':' || memmem(at, (size_t)(end - at), name, name_size) != NULL)
        return NOT_TAKEN;
    at++;
    if (at < end && *at == ' ')
        at++;
    int is_text = at < end && *at == '"';
    *key = at + is_text;
    return is_text ? text_size(*key, end) : number_size(at, end);
}

/* Where the key of each line begins, and its size; below 0: the line is to be parsed. Args: name: in
 * quotation marks. */
PUBLIC void nrtctl_keys(const char *text, const char *name, size_t name_size, const int64_t *begins,
                        const int64_t *sizes, size_t count, int64_t *key_begins,
                        int64_t *key_sizes) {
    for (size_t i = 0; i < count; i++) {
        const char *line = text + begins[i], *key = line;
        key_sizes[i] = find_key(line, line + sizes[i], name, name_size, &key);
        key_begins[i] = key - text;
    }
}

static int lies_within(size_t all, int64_t begin, int64_t size) {
    return begin >= 0 && size >= 0 && (uint64_t)begin <= all && (uint64_t)size <= all - (uint64_t)begin;
}

/* Messages for any partition, for `rd_kafka_produce_batch`; as many as lie within their texts, which
 * is all of them unless a number is wrong. Args: key_text: NULL: no message has a key; key_sizes:
 * below 0: it has none. */
PUBLIC size_t nrtctl_messages(const char *text, size_t size, const int64_t *begins,
                              const int64_t *sizes, size_t count, const char *key_text,
                              size_t key_text_size, const int64_t *key_begins,
                              const int64_t *key_sizes, message *into) {
    for (size_t i = 0; i < count; i++) {
        if (!lies_within(size, begins[i], sizes[i]))
            return i;
        into[i] = (message){.partition = -1,
                            .value = (void *)(text + begins[i]),
                            .value_size = (size_t)sizes[i]};
        if (key_text == NULL || key_sizes[i] < 0)
            continue;
        if (!lies_within(key_text_size, key_begins[i], key_sizes[i]))
            return i;
        into[i].key = (void *)(key_text + key_begins[i]);
        into[i].key_size = (size_t)key_sizes[i];
    }
    return count;
}

/* The numbers of the messages that were not taken; how many they are. */
PUBLIC size_t nrtctl_refused(const message *given, size_t count, int64_t *numbers) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (given[i].error != 0)
            numbers[found++] = (int64_t)i;
    return found;
}
