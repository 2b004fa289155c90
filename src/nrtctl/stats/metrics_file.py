"""`metrics.json`: what a user wants to see beside nrtctl's own numbers. Pure but for reading it.

`watcher` runs the SQL of it (`metrics_run`); the view and Prometheus show what came of it. A metric
that is wrong is named, and the others go on. `metrics.schema.json` says the same to an editor.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from nrtctl.config.parts import whole_name
from nrtctl.config.trust import Trust, read_found
from nrtctl.errors import ConfigError
from nrtctl.stats.snapshot import Level, Percentiles, Snapshot

FILE_NAME = "metrics.json"
VERSION = 1

TIME_UNITS = ("microseconds", "milliseconds", "seconds", "minutes", "hours", "days")
COUNT_UNITS = (
    "count", "events", "records", "rows", "messages", "parts", "bytes", "requests", "errors",
    "users", "sessions", "orders", "items",
)  # fmt: skip
UNITS = (*TIME_UNITS, *COUNT_UNITS, "ratio", "percent")
_OWN = re.compile(r"\{[A-Za-z][\w -]*\}")
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
PLACES = ("database", "table", "dead_letters", "window")


def _unit(text: str) -> str:
    base = text.removesuffix("/second")
    if base in UNITS or _OWN.fullmatch(base):
        return text
    raise ValueError(
        f"unknown unit {text!r}: one of {', '.join(UNITS)}, or one of your own in braces, as in "
        "'{parcels}'; each may end with /second"
    )


SOURCES = tuple(
    name
    for name, kind in get_type_hints(Snapshot).items()
    if kind in (int | None, float | None, Percentiles, dict[str, int], dict[str, float])
)
"""Fields of the snapshot that a metric may be."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Thresholds(_Frozen):
    """From which value on a metric is bad. With crit below warn, low values are."""

    warn: float | None = None
    crit: float | None = None

    def level(self, value: float | None) -> Level:
        """Of one value; none is ok."""
        if value is None:
            return "ok"
        low = self.warn is not None and self.crit is not None and self.crit < self.warn
        for name in ("crit", "warn"):
            bound = getattr(self, name)
            if bound is not None and (value <= bound if low else value >= bound):
                return "crit" if name == "crit" else "warn"
        return "ok"


class MetricDefinition(_Frozen):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="letters, digits and _")
    help: str = Field(min_length=1, description="what the metric says, in one line")
    unit: Annotated[str, AfterValidator(_unit)] = Field(
        description=f"one of {', '.join(UNITS)}; or your own in braces; each may end with /second"
    )
    kind: Literal["gauge", "counter", "summary"] = Field(
        description="counter: a value that only grows"
    )
    sql: str | None = Field(
        None,
        min_length=1,
        description="A SELECT that returns the dimensions and then one number. {database}, "
        "{table}, {dead_letters} and {window} are filled in; the window is in seconds.",
    )
    source: str | None = Field(
        None,
        description="Instead of sql: a field of the snapshot that holds a number, percentiles, or "
        "numbers by name (then one dimension names them). The unit is that of the field.",
    )
    dimensions: tuple[str, ...] = Field((), description="The columns before the number.")
    pipelines: tuple[str, ...] = Field(
        (),
        description="The pipelines that the metric is for, by name or by a pattern such as 'eu-*'; "
        "empty: all of them.",
    )
    thresholds: Thresholds = Thresholds()
    display: Literal["number", "sparkline", "bar", "table"] = "number"

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.sql is None) == (self.source is None):
            raise ValueError("needs either sql or source")
        if self.source is not None and self.source not in SOURCES:
            raise ValueError(f"source: {self.source!r} is not one of {', '.join(SOURCES)}")
        for place in _PLACE.findall(self.sql or ""):
            if place not in PLACES:
                known = ", ".join(f"{{{each}}}" for each in PLACES)
                raise ValueError(f"sql: {{{place}}} is not known; the known ones are {known}")
        return self

    def statement(self, *, database: str, table: str, dead_letters: str, window: float) -> str:
        """Its SQL with the names filled in. Args: window: seconds, rounded, at least 1."""
        given = {
            "database": database,
            "table": table,
            "dead_letters": dead_letters,
            "window": str(max(1, round(window))),
        }
        return _PLACE.sub(lambda match: given[match[1]], self.sql or "")


class MetricsFile(_Frozen):
    """The whole file, for its JSON Schema; `read_metrics` goes metric by metric."""

    schema_: str | None = Field(None, alias="$schema")
    version: Literal[1]
    metrics: tuple[MetricDefinition, ...]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a file defines. `wrong`: one line for each thing in it that is not right."""

    defined: tuple[MetricDefinition, ...] = ()
    wrong: tuple[str, ...] = ()

    def of(self, pipeline: str | None) -> Metrics:
        """Those of one pipeline; None: it has no name."""
        return replace(
            self,
            defined=tuple(
                each
                for each in self.defined
                if pipeline is None
                or not each.pipelines
                or any(
                    fnmatchcase(name, pattern)
                    for pattern in each.pipelines
                    for name in (pipeline, whole_name(pipeline))
                )
            ),
        )


def read_metrics(path: Path, trust: Trust) -> Metrics:
    """Read the file; none at all defines nothing.

    Args:
        trust: whose file it may be: its SQL is run with the user's rights.
    """
    try:
        data = json.loads(read_found(path, trust).decode())
    except FileNotFoundError:
        return Metrics()
    except ConfigError as error:
        return Metrics(wrong=(error.message,))
    except OSError as error:
        return Metrics(wrong=(f"{path.name}: cannot be read: {error.strerror}",))
    except ValueError as error:
        return Metrics(wrong=(f"{path.name} is not JSON: {error}",))
    return parse_metrics(data, path.name)


def parse_metrics(data: Any, file: str = FILE_NAME) -> Metrics:
    """Args: data: what the JSON says."""
    if not isinstance(data, dict) or not isinstance(data.get("metrics"), list):
        return Metrics(wrong=(f'{file}: must be an object with "version" and "metrics", a list',))
    if data.get("version") != VERSION:
        return Metrics(
            wrong=(f"{file}: version {data.get('version')!r} is not supported, only {VERSION} is",)
        )
    unknown = sorted(data.keys() - {"$schema", "version", "metrics"})
    wrong = [f"{file}: unknown key {key!r}" for key in unknown]
    defined: dict[str, MetricDefinition] = {}
    for number, each in enumerate(data["metrics"], 1):
        name = each.get("name") if isinstance(each, dict) else None
        where = f"{file}: metric {name if isinstance(name, str) else f'number {number}'!r}"
        try:
            metric = MetricDefinition.model_validate(each)
        except ValidationError as error:
            wrong += [f"{where}: {_said(problem)}" for problem in error.errors()]
            continue
        if metric.name in defined:
            wrong.append(f"{where}: is defined twice; the first definition counts")
        defined.setdefault(metric.name, metric)
    return Metrics(tuple(defined.values()), tuple(wrong))


def _said(problem: Any) -> str:
    where = ".".join(str(step) for step in problem["loc"])
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {text}" if where and not text.startswith(f"{where}:") else text
