"""What `up` says of pipelines that it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.stack.up import Starting


def test_the_command_that_helps_is_for_the_pipeline_that_was_refused() -> None:
    def check() -> None:
        raise ConfigError("no", hint="run `nrtctl replay load --into t_2 --swap`, which helps")

    wanted: Any = [SimpleNamespace(name=name) for name in ("a b", "c")]
    checked: Any = [SimpleNamespace(check=check)] * 2
    of_none: Any = None
    with pytest.raises(ConfigError) as refused:
        Starting._check_all(of_none, wanted, checked)
    assert refused.value.message == "pipelines.a b: no\npipelines.c: no"
    command = "`nrtctl replay load --pipeline 'a b' --into t_2 --swap`"
    assert refused.value.hint == f"run {command}, which helps"
