"""Addresses and TLS, without a client, and what only some systems have (`posix`): what every server
and client here has in common. `serving`, the one with uvicorn, is what `nrtctl listen` and the
dashboard hold connections with.
"""
