"""The numbers of a pipeline, live.

`snapshot` is what one look found, `watcher` looks. In between: `kafka_side` and `table_side` ask,
`rates` and `verdict` think (pure).
"""
