"""One partition's records on disk. Called by `broker` and handlers; knows no requests."""
