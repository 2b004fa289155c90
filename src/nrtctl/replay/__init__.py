"""Reading again: move the group's offsets, with a way back, or load a range without the group.

    move     the group's offsets, in numbered steps
    plan     where each partition goes, and what that reads again or skips (pure)
    pending  a declared batch is stored before its intent is given up
    undo     the file that leads back
    load     delete a window's rows and consume it again; `ranges` says which, `job` is what
             Kafka keeps of it, `into` makes another table
    swap     exchange the two tables

`kafka.group_offsets` is the group that is moved. Called by `nrtctl replay` and `nrtctl.Client`.
"""
