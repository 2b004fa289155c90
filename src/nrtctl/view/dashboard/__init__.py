"""`nrtctl dashboard`: the snapshots as a page on loopback, for people who would rather look.

`board` keeps the newest snapshots and wakes who waits for it; `app` answers HTTP; `serve` runs both
with a looker; `page/` is what a browser gets, as it is.
"""
