"""`--fail-if 'lag_seconds > 30'`: conditions on a snapshot. Pure; used by `stats`.

    condition = NAME OP VALUE
    NAME      = a field of the snapshot's JSON form, with dots into what it holds: `lag_seconds`,
                `end_to_end_latency_seconds.p99`, `lag.lag_records` (any partition),
                `dead_letters_by_reason."field missing"`, `metrics.error_rate` (any of its values)
    OP        = < <= > >= == !=
    VALUE     = a number; with ms, s, m, h or d where the field is in seconds; text for == and !=

A number that is not known (null, or a name with nothing behind it yet) fulfils no condition.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from nrtctl.config.units import parse_duration
from nrtctl.errors import ConfigError
from nrtctl.stats.snapshot import Snapshot

_NAME = r'[A-Za-z_]\w*(?:\.(?:\w+|"[^"]*"))*'
_CONDITION = re.compile(rf"\s*({_NAME})\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*")
_STEP = re.compile(r'"[^"]*"|\w+')
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
ANY = "*"
NUMBER, TEXT = ("number",), ("text",)
"""Kinds of what a name leads to; another one is the values that there are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """`value`: a number in the field's unit, or text."""

    text: str
    path: tuple[str, ...]
    compare: str
    value: float | str

    def met_by(self, snapshot: Mapping[str, Any]) -> list[Any]:
        """The values that fulfil it. Args: snapshot: in its JSON form."""
        of_its_kind = str if isinstance(self.value, str) else (int, float)
        return [
            each
            for each in map(_as_text, values(snapshot, self.path))
            if isinstance(each, of_its_kind) and _COMPARE[self.compare](each, self.value)
        ]

    def known(self, snapshot: Mapping[str, Any]) -> bool:
        return any(each is not None for each in values(snapshot, self.path))


def parse(text: str, metrics: Collection[str] = ()) -> Condition:
    """Args: metrics: names in metrics.json.

    Raises:
        ConfigError: no condition; an unknown name (with the list of those there are); a value that
            does not fit.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"--fail-if {text!r} is not a condition",
            hint="write NAME OP VALUE, as in 'lag_seconds > 30' or 'verdict.state != ok'",
        )
    name, compare, raw = match.groups()
    path = tuple(step.strip('"') for step in _STEP.findall(name))
    kind = _kind(path, metrics)
    if kind is None:
        raise ConfigError(
            f"--fail-if {text!r}: there is no {name!r}", hint=_meant(name, names(metrics))
        )
    if kind == NUMBER:
        return Condition(text, path, compare, _number(text, name, path, raw))
    if compare not in {"==", "!="}:
        raise ConfigError(f"--fail-if {text!r}: {name} is text; compare it with == or !=")
    value = raw.strip("\"'")
    if kind != TEXT and value not in kind:
        raise ConfigError(
            f"--fail-if {text!r}: {name} is never {value!r}", hint=f"one of: {', '.join(kind)}"
        )
    return Condition(text, path, compare, value)


def _as_text(value: Any) -> Any:
    """True and false as a condition has them."""
    return str(value).lower() if isinstance(value, bool) else value


def _meant(name: str, known: list[str]) -> str:
    near = [each for each in known if name in each] or difflib.get_close_matches(name, known, 3)
    if not near:
        return f"one of: {', '.join(known)}"
    several = f"one of {', '.join(near)}" if len(near) > 1 else near[0]
    return f"did you mean {several}? `nrtctl stats --once -o json` shows all names"


def _number(text: str, name: str, path: Sequence[str], raw: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        if not any(step.endswith("_seconds") for step in path):
            raise ConfigError(f"--fail-if {text!r}: {raw!r} is not a number") from None
        try:
            return parse_duration(raw)
        except ValueError as error:
            raise ConfigError(f"--fail-if {text!r}: {name}: {error}") from error
    if not math.isfinite(number):
        raise ConfigError(f"--fail-if {text!r}: {raw!r} is not a number")
    return number


def values(snapshot: Mapping[str, Any], path: Sequence[str]) -> Iterator[Any]:
    """What a path leads to: one value, one for each element of a list, or none."""
    if path[0] == "metrics":
        for metric in snapshot["metrics"]:
            if metric["name"] == path[1]:
                yield from (each["value"] for each in metric["values"])
        return
    yield from _walk(snapshot, path)


def _walk(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])


def names(metrics: Collection[str] = ()) -> list[str]:
    """Every name a condition may have; `*` stands for a reason."""
    return [".".join(path) for path in _LEAVES] + [f"metrics.{name}" for name in metrics]


def _kind(path: tuple[str, ...], metrics: Collection[str]) -> tuple[str, ...] | None:
    if path[0] == "metrics":
        return NUMBER if len(path) == 2 and path[1] in metrics else None
    return _LEAVES.get(path) or _LEAVES.get((*path[:-1], ANY))


def _leaves(
    kind: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kind = next(each for each in arguments if each is not type(None))
        yield from _leaves(kind, path)
    elif origin is dict:
        yield from _leaves(arguments[1], (*path, ANY))
    elif origin is list:
        if dataclasses.is_dataclass(arguments[0]):
            yield from _leaves(arguments[0], path)
    elif dataclasses.is_dataclass(kind):
        for name, inner in typing.get_type_hints(kind).items():
            if (kind, name) != (Snapshot, "metrics"):
                yield from _leaves(inner, (*path, name))
    elif kind in (int, float):
        yield path, NUMBER
    elif kind is bool:
        yield path, ("true", "false")
    elif origin is typing.Literal:
        yield path, arguments
    elif kind is str:
        yield path, TEXT


_LEAVES = dict(_leaves(Snapshot))
