"""Where settings come from, in order of precedence: flag, environment, `.env`, project file, user
file, defaults. Called by `cli.options`; the result is frozen.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError

FILE_NAME = "nrtctl.toml"
PREFIX = "NRTCTL_"
OUTSIDE = frozenset({"NRTCTL_CONFIG", "NRTCTL_PROFILE"})
REPLACED_WHOLE = frozenset({"fields", "columns", "rejects", "rollups", "order_by"})

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from, as a person would say it: a file with a line, a variable, a flag."""

    source: str
    file: Path | None = None

    def __str__(self) -> str:
        return self.source


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and how it came about. `origins`: dotted key to origin, where given."""

    config: Config
    origins: Mapping[str, Origin]
    project_file: Path | None
    state_dir: Path

    def origin(self, key: str) -> Origin:
        """Of a dotted key: its own, or that of the table it is in."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return DEFAULT


@dataclass(slots=True)
class _Layer:
    """One source of settings."""

    title: str
    tree: Tree
    file: Path | None = None
    text: str = ""

    def origin(self, path: Sequence[str]) -> Origin:
        if self.file is None:
            return Origin(self.title.format(key="__".join(path).upper()), None)
        line = _line_of(self.text, path)
        return Origin(f"{self.title}:{line}" if line else self.title, self.file)


def load_config(
    *,
    file: Path | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """Read every source and check the whole.

    Args:
        file: the project file; None: `nrtctl.toml`, found upward from `cwd`.
        overrides: `section.key=value`, the value as in TOML, or a bare word.

    Raises:
        ConfigError: one line for each thing that is wrong: file, key, and what would be right.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    if file is None and environ.get("NRTCTL_CONFIG"):
        file = Path(environ["NRTCTL_CONFIG"])
    profile = profile or environ.get("NRTCTL_PROFILE") or None
    project = cwd / file if file is not None else _found_upward(cwd)
    layers = [_default_layer()]
    for path in (_user_file(environ), project):
        if path is not None:
            layers += _file_layers(path, profile)
    if profile is not None and not any(profile in layer.title for layer in layers):
        raise _unknown_profile(profile, project)
    env_file = (project.parent if project is not None else cwd) / ".env"
    if env_file.is_file():
        values = {k: v for k, v in dotenv_values(env_file).items() if v is not None}
        layers.append(_environment_layer(values, str(env_file) + " {key}"))
    layers.append(_environment_layer(environ, f"environment {PREFIX}{{key}}"))
    layers.append(_override_layer(overrides))
    tree, origins = _merge(layers)
    config = _validated(tree, origins)
    return Loaded(config, origins, project, _state_dir(config, project, environ, origins, cwd))


def _found_upward(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        if (directory / FILE_NAME).is_file():
            return directory / FILE_NAME
    return None


def _user_file(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(home) / "nrtctl" / "config.toml"
    return path if path.is_file() else None


def template(name: str = FILE_NAME) -> str:
    """The text of a file that `init` writes."""
    return resources.files("nrtctl").joinpath("templates", name).read_text(encoding="utf-8")


def _default_layer() -> _Layer:
    return _Layer("default", {"pipeline": tomllib.loads(template())["pipeline"]})


def _file_layers(path: Path, profile: str | None) -> list[_Layer]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        tree = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", hint="`nrtctl init` writes one") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    profiles = tree.pop("profile", {})
    layers = [_Layer(str(path), tree, path, text)]
    if profile is not None and profile in profiles:
        layers.append(_Layer(f"{path} [profile.{profile}]", profiles[profile], path, ""))
    return layers


def _unknown_profile(profile: str, project: Path | None) -> ConfigError:
    names: list[str] = []
    if project is not None:
        names = sorted(tomllib.loads(project.read_text("utf-8-sig")).get("profile", {}))
    known = f"there are: {', '.join(names)}" if names else "there is none"
    return ConfigError(f"profile {profile!r} is not in the configuration; {known}")


def _environment_layer(environ: Mapping[str, str], title: str) -> _Layer:
    ours = {
        name: value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX)
        and name.upper() not in OUTSIDE
        and not name.upper().startswith((PREFIX + "TEST_", PREFIX + "REQUIRE_"))
        and value != ""
    }
    known = {"__".join(path).upper(): path for path in _keys(Config)}
    for name in ours:
        key = name.upper().removeprefix(PREFIX)
        if not any(key == each or key.startswith(each + "__") for each in known):
            near = difflib.get_close_matches(key, known, 1)
            right = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            raise ConfigError(f"environment variable {name} names no setting{right}")

    class Environment(BaseSettings):
        pass

    fields: dict[str, Any] = {name: (info.annotation, None) for name, info in _fields(Config)}
    from pydantic import create_model

    shaped = create_model("Environment", __base__=Environment, **fields)
    source = EnvSettingsSource(shaped, env_prefix=PREFIX, env_nested_delimiter="__")
    source.env_vars = {name.lower(): value for name, value in ours.items()}
    try:
        return _Layer(title, source())
    except Exception as error:
        names = ", ".join(sorted(ours))
        raise ConfigError(f"environment ({names}): {error}") from error


def _override_layer(overrides: Sequence[str]) -> _Layer:
    tree: Tree = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path) or len(path) < 2:
            raise ConfigError(f"--set {text!r}: write section.key=value, as in batch.max_rows=1000")
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        try:
            node[path[-1]] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            node[path[-1]] = value
    return _Layer("--set", tree)


def _merge(layers: Sequence[_Layer]) -> tuple[Tree, dict[str, Origin]]:
    tree: Tree = {}
    origins: dict[str, Origin] = {}
    for layer in layers:
        pipeline = layer.tree.get("pipeline")
        if isinstance(pipeline, dict) and "fields" in pipeline and layer.title != "default":
            tree.pop("pipeline", None)
            origins = {k: v for k, v in origins.items() if not k.startswith("pipeline")}
        _overlay(tree, layer.tree, layer, (), origins)
    return tree, origins


def _overlay(
    into: Tree, tree: Tree, layer: _Layer, path: tuple[str, ...], origins: dict[str, Origin]
) -> None:
    for key, value in tree.items():
        here = (*path, str(key))
        whole = layer.file is not None and here[:-1] == ("pipeline",) and key in REPLACED_WHOLE
        if isinstance(value, dict) and not whole:
            below = into.get(key)
            if not isinstance(below, dict):
                below = into[key] = {}
            _overlay(below, value, layer, here, origins)
        else:
            into[key] = value
            if layer.title != "default":
                origins[".".join(here)] = layer.origin(here)


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line where a dotted key stands; None if it cannot be told."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            table = [part.strip().strip("\"'") for part in header[1].split(".")]
            if table == list(path):
                return number
            continue
        key = re.match(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]+)\s*=", line)
        if key:
            full = [*table, *key[1].strip("\"'").split(".")]
            if full == list(path) or [*table, key[1].strip("\"'")] == list(path):
                return number
    return None


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    yield from model.model_fields.items()


def _keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the configuration, as a path."""
    for name, info in _fields(model):
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, (*path, name))
        else:
            yield (*path, name)


def _validated(tree: Tree, origins: Mapping[str, Origin]) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [_explained(each, origins) for each in error.errors(include_input=False)]
        raise ConfigError(
            "\n".join(dict.fromkeys(lines)), hint="`nrtctl config schema` lists every key"
        ) from None


def _explained(error: Any, origins: Mapping[str, Origin]) -> str:
    path = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(path)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        siblings = [each[len(path) - 1] for each in _all_keys() if list(each[: len(path) - 1])
                    == path[:-1] and len(each) >= len(path)]  # fmt: skip
        near = difflib.get_close_matches(path[-1], siblings, 1)
        known = ", ".join(dict.fromkeys(siblings))
        message = f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; {known}"
    where = _origin_of(key, origins)
    prefix = f"{where}: " if where else ""
    return f"{prefix}{key}: {message}" if key else f"{prefix}{message}"


def _all_keys() -> list[tuple[str, ...]]:
    return list(_keys(Config))


def _origin_of(key: str, origins: Mapping[str, Origin]) -> str:
    probe = key
    while probe:
        if probe in origins:
            return str(origins[probe])
        below = [origin for name, origin in origins.items() if name.startswith(probe + ".")]
        if below:
            return str(below[-1].file or below[-1])
        probe = probe.rpartition(".")[0]
    return ""


def _state_dir(
    config: Config,
    project: Path | None,
    environ: Mapping[str, str],
    origins: Mapping[str, Origin],
    cwd: Path,
) -> Path:
    given = config.local.state_dir
    if given is not None:
        origin = origins.get("local.state_dir")
        base = origin.file.parent if origin is not None and origin.file is not None else cwd
        return (base / given.expanduser()).resolve()
    if project is not None:
        return project.resolve().parent / ".nrtctl"
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "nrtctl"
