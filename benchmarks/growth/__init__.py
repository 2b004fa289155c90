"""How the cost grows with the work.

`__main__` has the options and prints; `measure` and `table` run the commands; `shown` makes tables,
sentences and pictures of what they found.
"""
