"""TOML files with settings, and the template they start from. Called by `config.load`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from nrtctl.config import pipelines
from nrtctl.config.layer import DEFAULT, Layer, Origin, say_tree
from nrtctl.config.lines import lines_of
from nrtctl.config.named_files import read_named
from nrtctl.config.shape import KeyPath, unknown
from nrtctl.config.trust import Trust, read_found
from nrtctl.errors import ConfigError

FILE_NAME = "nrtctl.toml"
OF_THE_FIELDS = ("key", "order_by", "partition_by")
"""Keys of `[pipeline]` that mean nothing without its `fields`."""
TABLES = ("fields", "columns", "rejects", "rollups", "latest")
"""Tables of `[pipeline]` that a file gives as a whole."""


def template(name: str = FILE_NAME) -> str:
    """The text of a file that `init` writes."""
    return resources.files("nrtctl.config").joinpath("templates", name).read_text(encoding="utf-8")


def template_on_free_ports() -> str:
    """The text of nrtctl.toml, for a stack that leaves the default ports to others."""
    return (
        template()
        .replace('# bootstrap_servers = "127.0.0.1:9092"', 'bootstrap_servers = "127.0.0.1:0"')
        .replace('# url = "http://127.0.0.1:8123"', 'url = "http://127.0.0.1:0"')
    )


def default_layer() -> Layer:
    """The reference pipeline; every other default is the model's."""
    layer = Layer()
    say_tree(layer, tomllib.loads(template())["pipeline"], ("pipeline",), lambda _: DEFAULT, None)
    return layer


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A TOML file with settings, pipelines under `[pipelines.NAME]`, and overlays of all that under
    `[profile.NAME]`."""

    path: Path
    tree: Mapping[str, Any]
    profiles: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the pipelines, in the file's order, without those of profiles."""
        return tuple(self.tree.get(pipelines.SECTION, {}))

    @classmethod
    def read(cls, path: Path, trust: Trust | None = None) -> SettingsFile:
        """Args: trust: as `read_text`.

        Raises:
            ConfigError: no such file, not to be read, not to be trusted, not UTF-8, not TOML.
        """
        text = read_text(path, trust).replace("\r\n", "\n")
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = re.search(r" \(at line ([0-9]+), (column [0-9]+)\)", str(error))
            what = str(error).replace(at[0], f" ({at[2]})") if at else str(error)
            where = f"{path}:{at[1]}" if at else str(path)
            raise ConfigError(f"{where}: is not TOML: {what}") from None
        except RecursionError:
            raise ConfigError(f"{path}: is not TOML: nested too deeply") from None
        lines = lines_of(text)
        profiles = tree.pop("profile", {})
        named = tree.get(pipelines.SECTION, {})
        _check_tables(path, ("profile",), profiles, "[profile.staging.kafka]", lines)
        _check_tables(path, (pipelines.SECTION,), named, "[pipelines.orders]", lines)
        for name, each in profiles.items():
            inside: KeyPath = ("profile", name, pipelines.SECTION)
            example = f"[{'.'.join(inside)}.orders]"
            _check_tables(path, inside, each.get(pipelines.SECTION, {}), example, lines)
        for name, why in pipelines.wrong_names(list(named)):
            raise ConfigError(f"{path}: pipelines.{name}: {why}")
        return cls(path, tree, profiles, lines)

    def unknown_pipelines(self, profile: str | None, known: Sequence[str]) -> Iterator[str]:
        """That a profile lays something over a pipeline that none of the files has."""
        if profile is None:
            return
        for name in self.profiles[profile].get(pipelines.SECTION, {}):
            if name not in known:
                at = ("profile", profile, pipelines.SECTION, name)
                line = f":{self.lines[at]}" if at in self.lines else ""
                why = (
                    unknown(name, known).replace("unknown key", "there is no such pipeline")
                    if known
                    else "the configuration has no [pipelines.NAME]"
                )
                yield f"{self.path}{line}: {'.'.join(at)}: {why}"

    def layer(self, profile: str | None = None, pipeline: str | None = None) -> Layer:
        """What the file says, or one of its profiles; of that, the sections, or one pipeline."""
        layer = Layer()
        within = () if profile is None else ("profile", profile)
        tree = dict(self.tree if profile is None else self.profiles[profile])
        note = "" if profile is None else f" [profile.{profile}]"
        named = tree.pop(pipelines.SECTION, {})
        if pipeline is not None:
            tree = pipelines.as_sections(named.get(pipeline, {}))
            note += f" [pipelines.{pipeline}]"

        def origin(path: KeyPath) -> Origin:
            own = path if pipeline is None else pipelines.own_path(pipeline, path)
            for end in range(len(own), 0, -1):
                line = self.lines.get((*within, *own[:end]))
                if line is not None:
                    return Origin(f"{self.path}:{line}{note}", self.path)
            return Origin(f"{self.path}{note}", self.path)

        given = tree.get("pipeline")
        if isinstance(given, dict):
            anew = "fields" in given
            names = [*OF_THE_FIELDS, *TABLES] if anew else [n for n in TABLES if n in given]
            layer.dropped = [("pipeline", name) for name in names]
        say_tree(layer, tree, (), origin, self.path.parent)
        return layer


def _check_tables(
    path: Path, at: KeyPath, named: Any, example: str, lines: Mapping[KeyPath, int]
) -> None:
    """Raises ConfigError: it is no table of tables."""
    wrong = [at] if not isinstance(named, dict) else []
    if not wrong:
        wrong = [(*at, name) for name, each in named.items() if not isinstance(each, dict)]
    if wrong:
        where = f"{path}:{lines[wrong[0]]}" if wrong[0] in lines else str(path)
        raise ConfigError(
            f"{where}: {'.'.join(wrong[0])}: must be a table of sections, as in {example}"
        )


def read_text(
    path: Path,
    trust: Trust | None = None,
    *,
    harmless: Callable[[bytes], bool] = lambda data: False,
) -> str:
    """The text of a file; a byte order mark is left out.

    Args:
        trust: whose file it may be, where it was found; None: the user has named it.
        harmless: as `trust.read_found`.

    Raises:
        ConfigError: no such file, not to be read, not to be trusted, too large, not UTF-8.
    """
    try:
        data = read_named(path) if trust is None else read_found(path, trust, harmless=harmless)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", hint="`nrtctl init` writes one") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, not a file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from None


def found_upward(start: Path) -> Path | None:
    """The nearest `nrtctl.toml`, in a directory or one above it."""
    for directory in (start, *start.parents):
        if os.path.lexists(directory / FILE_NAME):
            return directory / FILE_NAME
    return None
