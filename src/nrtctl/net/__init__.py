"""Addresses and TLS, without a client, and what only some systems have (`posix`): what every server
and client here has in common.
"""
