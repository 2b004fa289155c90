"""Reading again: move the group's offsets, with a way back.

    plan     where each partition goes, and what that reads again or skips (pure)
    group    the members, the offsets of a time, setting the offsets
    pending  a declared batch is stored before its intent is given up
    undo     the file that leads back

Called by `nrtctl replay`.
"""
