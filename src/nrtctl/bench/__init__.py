"""What this machine can do: producing, ingest beside the engine's own limit, latency.

Called by `nrtctl bench`. Everything runs in a stack of its own (`scratch`), in processes of their
own (`children`), as a user's commands do.
"""
