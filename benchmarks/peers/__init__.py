"""The same messages through nrtctl and through what people would pick instead.

`__main__` has the options and prints; `run` measures one peer on one table; `peer` says how each is
started; `raw` and `connect` are the peers that nrtctl's own bench has not.
"""
