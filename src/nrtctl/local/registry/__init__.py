"""A small schema registry: Confluent's REST API for one machine, a journal on disk.

Started as `python -m nrtctl.local.registry`; `docs/local-stack.md` says what it serves and omits.

    app            HTTP: paths, bounds, error codes
    store          subjects, versions and ids, in memory and in the journal
    schemas        what a schema's text must be, and when two are one
    avro_schema    Avro's texts read; `avro_compat` compares two
    proto_schema   Protobuf's texts read, and two compared
    compatibility  the levels, and which comparison each asks for
"""
