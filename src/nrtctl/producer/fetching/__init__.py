"""Events that are fetched: `nrtctl produce --input https://…`, once or again and again.

`addresses` says which addresses are asked, `answers` asks them, `cursor` remembers how far it came,
`records` finds the records in an answer; `cli.fetching` sends them, by the ways of a file.
"""
