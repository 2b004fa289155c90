"""The right end: messages in, rows stored, offsets committed after them.

`loop` fetches, and carries out what `effects` lists; `flush_policy` says when a batch goes and
with which others; `partition` and `assignment` say what follows from what has happened; `buffer`
holds what waits; `insert_pool` has the threads in which `store.writer` stores; `intent_commits` and
`kafka.membership` are Kafka's side of it; `store.intents` is the logic without the I/O.
"""
