"""The engine. Nothing else imports clickhouse_connect.

client       asks, commands, inserts; `answers` reads what comes back
error_codes  what a failure means; `patience` waits out what passes
refusals     why a connection is refused
cluster      names and sources where it is several servers (pure)
"""
