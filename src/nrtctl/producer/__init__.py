"""Messages into a topic: `run` sends, `deliveries` keeps account, `ledger` writes it down.

`sources` is where they come from.
"""
