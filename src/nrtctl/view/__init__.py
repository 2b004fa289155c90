"""The live view of a snapshot in a terminal: values in, lines out, and the loop that shows them.

`live` is what `nrtctl stats` calls; `screen` draws without a terminal, so that a picture or a test
can have the same screen.
"""
