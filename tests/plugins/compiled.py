"""Tests of what is done in C. Where nrtctl was installed without a C compiler it is not there."""

from __future__ import annotations

import pytest

from nrtctl.kafka.native import Native, native

needs_native = pytest.mark.skipif(native() is None, reason="there is no C compiler")


def given_native() -> Native:
    found = native()
    assert found is not None
    return found
