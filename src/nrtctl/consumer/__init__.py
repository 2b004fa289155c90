"""The right end: messages in, rows stored, offsets committed after them.

`loop` fetches and decides when; `buffer` holds what waits; `due` says
which batches go now, and which together; `sending` hands them to threads; `writer` stores them;
`group` is Kafka's side of it; `nrtctl.intents` is the logic without the I/O.
"""
