"""A small Kafka broker: one node, Kafka's wire protocol, a log on disk.

Started as `python -m nrtctl.local.broker`; `docs/local-stack.md` says what it serves and omits.

    wire      bytes to requests and back, no I/O
    log       one partition on disk: segments, index, producers, recovery, retention
    groups    the group coordinator and committed offsets
    broker    topics, configuration, and the parts above put together
    handlers  one function a request
    server    connections: framing, ordering, back-pressure, bounds
"""
