"""The right end: messages in, rows stored, offsets committed after them.

`loop` fetches and decides when; `buffer` holds what waits; `writer` stores one batch;
`group` is Kafka's side of it; `nrtctl.intents` is the logic without the I/O.
"""
