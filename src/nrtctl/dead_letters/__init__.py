"""Dead letters after the fact: find them, look at one, send them again, forward or purge them.

Called by `cli.dlq_command`. A dead letter's offset is counted once by `verify`, as a dead letter or
as a row. `replay` moves it: the row first, then the dead letter goes; what a kill leaves in both
tables the next replay or `verify --repair` ends. What was done to a letter is kept in the table
`<dead letters>_log`.
"""
