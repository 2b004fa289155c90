"""`nrtctl dashboard`: the snapshots as a page on loopback, for people who would rather look.

`board` keeps the newest snapshots and wakes who waits for it; `questions` answers what takes long,
as `pasts` does the charts of a time range; `app` answers HTTP; `serve` runs them with a looker;
`page/` is what a browser gets, each page within `page/frame.html`.
"""
