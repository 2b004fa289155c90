"""Addresses and TLS, without a client: what every server and client here has in common."""
