"""The numbers of a running command, for Prometheus to scrape. docs/metrics.md lists them.

`serving` puts it together for each command: `consumer`, `producer` and `snapshot` say what is
measured, `stored` counts in ClickHouse what became of the records, `server` answers HTTP, and
`health` whether the process is alive and ready. Nothing here speaks to Kafka.
"""
