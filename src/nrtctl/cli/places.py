"""Places in a log, as options have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nrtctl.clock import Clock
    from nrtctl.kafka.offsets import Point


def parsed(option: str, text: str, clock: Clock) -> Point:
    """Raises ConfigError: it is no place in a log."""
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.offsets import parse_point

    try:
        return parse_point(text, clock.time())
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error
