"""ClickHouse's HTTP interface in front of the embedded engine, for one machine.

`__main__` starts it; `app` is HTTP; `statement` reads a request into a statement; `access` says
who may; `compression` the bodies; `engine` is the only importer of chdb.
"""
