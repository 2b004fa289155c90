"""From a sample of messages to a pipeline that stores each of them. Pure.

`seen` takes in the messages, `guess` gives each place of them a type, `columns` turns places into
fields with names, `draft` chooses the rest of the pipeline, and `text` writes it with comments.
Used by `nrtctl init --from`.
"""
