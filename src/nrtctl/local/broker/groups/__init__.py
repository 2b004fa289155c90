"""Consumer groups: membership, assignments, committed offsets. Called by `handlers.groups`."""
