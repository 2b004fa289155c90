"""What a process of the local stack was started with: another value holds only once it starts anew.
Called by `stack.spawn`, and by `stack.up`, which says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nrtctl.config.model import Config
from nrtctl.local.process import write_atomically
from nrtctl.net.kept import kept
from nrtctl.stack.state_dir import CLICKHOUSE, KAFKA, live

SETTINGS = {KAFKA: ("fsync", "auto_create_topics"), CLICKHOUSE: ("max_memory", "system_logs")}
ONLY_USER = "default"
TITLES = {KAFKA: "the broker", CLICKHOUSE: "ClickHouse"}


def note_down(config: Config, state_dir: Path, name: str) -> None:
    """Call it before the process is started. Raises OSError: the directory cannot be written."""
    if name in SETTINGS:
        (state_dir / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(_file(state_dir, name), json.dumps(_said(config, name)).encode())


def differences(config: Config, state_dir: Path) -> Iterator[str]:
    """What the processes that run have otherwise than the configuration says. One that a version
    before has started says nothing of it."""
    if live(state_dir, CLICKHOUSE) is not None:
        yield from _other_login(config, state_dir)
    for name in SETTINGS:
        if live(state_dir, name) is None:
            continue
        try:
            then: Any = json.loads(_file(state_dir, name).read_bytes())
        except (OSError, ValueError):
            continue
        for key, now in _said(config, name).items():
            if isinstance(then, dict) and then.get(key, now) != now:
                yield (
                    f"{TITLES[name]} was started with local.{key} = {then[key]!r}, but the "
                    f"configuration says {now!r}: run `nrtctl down`, then `nrtctl up`"
                )


def _other_login(config: Config, state_dir: Path) -> Iterator[str]:
    settings = config.clickhouse
    if settings.username != ONLY_USER:
        yield (
            f"the local ClickHouse has one user, {ONLY_USER!r}, but clickhouse.username says "
            f"{settings.username!r}: leave it out"
        )
    try:
        then = kept(state_dir / CLICKHOUSE / "password")
    except OSError:
        return
    if settings.password is not None and settings.password.get_secret_value().strip() != then:
        yield (
            "ClickHouse was started with another password than clickhouse.password says: run "
            "`nrtctl down`, then `nrtctl up`"
        )


def _said(config: Config, name: str) -> dict[str, Any]:
    return {key: getattr(config.local, key) for key in SETTINGS[name]}


def _file(state_dir: Path, name: str) -> Path:
    return state_dir / name / "started-with.json"
