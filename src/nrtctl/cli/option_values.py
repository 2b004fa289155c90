"""Texts of options and arguments as the values that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from nrtctl.clock import Clock
    from nrtctl.kafka.offsets import Point

Value = TypeVar("Value")


def parsed(parse: Callable[[str], Value], text: str, option: str) -> Value:
    """Args: option: as the user writes it, `--since`.

    Raises:
        ConfigError: `parse` raises ValueError of the text; it names the option.
    """
    from nrtctl.errors import ConfigError

    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def positive(parse: Callable[[str], Value], text: str, option: str) -> Value:
    """As `parsed`, of a number of bytes or seconds. Raises ConfigError: also of 0."""
    from nrtctl.errors import ConfigError

    value = parsed(parse, text, option)
    if not value:
        raise ConfigError(f"{option}: must be more than 0")
    return value


def place_in_log(text: str, option: str, clock: Clock) -> Point:
    """Raises ConfigError: it is no place in a log."""
    from nrtctl.kafka.offsets import parse_point

    return parsed(lambda given: parse_point(given, clock.time()), text, option)
