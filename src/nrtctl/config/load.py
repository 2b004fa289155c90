"""From the sources of settings to one frozen configuration. Called by commands and programs.

Precedence: flag, environment, `.env`, project file, user file, defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nrtctl.config import parts, pipelines, routing
from nrtctl.config.flags import flag_layer
from nrtctl.config.layer import DEFAULT, Layer, Origin
from nrtctl.config.model import Config
from nrtctl.config.pipelines import chosen, refuse_sharing, the_one
from nrtctl.config.problems import line_of, problem_lines
from nrtctl.config.settings_files import (
    FILE_NAME,
    SettingsFile,
    default_layer,
    found_upward,
    template,
    template_on_free_ports,
)
from nrtctl.config.shape import KeyPath, code_property
from nrtctl.config.trust import Trust, check_state_dir
from nrtctl.config.variables import env_file_layer, environment_layer, variable_of
from nrtctl.errors import ConfigError
from nrtctl.net.posix import pwd
from nrtctl.pipeline.field_types import type_of

__all__ = [
    "FILE_NAME",
    "Loaded",
    "Origin",
    "load_config",
    "load_pipelines",
    "template",
    "template_on_free_ports",
]

HINT = "`nrtctl config schema` lists every key"

IN_PROJECT = ".nrtctl"
"""The state directory of a project, beside its file."""

DOCKER_UP = Path("docker") / "up"
"""In the state directory while `stack.docker` has its containers up."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and how it came about.

    `origins`: dotted key to origin, for every value that was given; the rest are defaults.
    `project_file`: None where there is none. `state_dir`: absolute. `profiles`: those that the
    files have. `trust`: whose files beside the project file may be read. `pipeline`: which of
    `pipelines`, the names that the files have, this is the configuration of; None: they have none.
    """

    config: Config
    origins: Mapping[str, Origin]
    project_file: Path | None
    state_dir: Path
    trust: Trust
    profiles: tuple[str, ...] = ()
    pipeline: str | None = None
    pipelines: tuple[str, ...] = ()

    @property
    def has_pattern(self) -> bool:
        """Whether Kafka has to be asked which topics it has."""
        return self.config.pipeline.unsplit and self.config.pipeline.has_pattern

    def origin(self, key: str) -> Origin:
        """Of a dotted key: its own, or that of the table it is in."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return DEFAULT


def load_config(
    *,
    file: Path | None = None,
    profile: str | None = None,
    pipeline: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    wanted: Callable[[KeyPath], bool] = lambda path: True,
    dotenv: bool = True,
) -> Loaded:
    """Read every source and check the whole, for one pipeline.

    Args:
        file: the project file; None: `NRTCTL_CONFIG`, or `nrtctl.toml` found upward from `cwd`.
        profile: overlay `[profile.NAME]`; None: `NRTCTL_PROFILE`, in the environment or `.env`.
        pipeline: which of `[pipelines.NAME]`; None: the only one. Of a pipeline of several topics
            the one that is meant: NAME/TOPIC, or TOPIC where it has no name.
        overrides: `section.key=value`, the value as in TOML, or a bare word.
        environ: the variables; None: those of the process.
        cwd: where the project file is looked for; None: the working directory.
        wanted: which keys are taken from files and variables.
        dotenv: read the `.env` beside the project file.

    Raises:
        ConfigError: one line for each thing that is wrong: where, key, and what would be right; or
            there are several pipelines or topics, and none is chosen, or two write one table.
    """
    sources = Sources.read(file, profile, overrides, environ, cwd, wanted, dotenv=dotenv)
    if pipeline is not None and not sources.pipelines:
        whole = sources.loaded(None)
        if whole.config.pipeline.topics is not None:
            return parts.the_part(whole, pipeline)
    name, _, topic = (pipeline or "").partition("/")
    given = () if pipeline is None else (name,)
    return parts.the_part(sources.beside_others(the_one(chosen(sources.pipelines, given))), topic)


def load_pipelines(
    patterns: Sequence[str] = (),
    *,
    file: Path | None = None,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> list[Loaded]:
    """As `load_config`, for every pipeline that is meant, in the file's order, with all its topics
    (`parts.meant` has one for each of them).

    All are read and checked with one another, whichever are meant.

    Args:
        patterns: names of pipelines or of parts of them, with `*` and `?`; empty: all of them.
    """
    sources = Sources.read(file, profile, overrides, environ, cwd)
    if not sources.pipelines:
        only = sources.loaded(None)
        if only.config.pipeline.topics is None:
            chosen((), patterns)
        return [only]
    meant = chosen(sources.pipelines, [parts.whole_name(each) for each in patterns])
    problems: list[str] = []
    found: dict[str, Loaded] = {}
    for name in sources.pipelines:
        try:
            found[name] = sources.loaded(name)
        except ConfigError as error:
            problems += error.message.splitlines()
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)), hint=HINT)
    refuse_sharing({name: each.config for name, each in found.items()})
    return [found[name] for name in meant]


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that settings are read from, before a pipeline is chosen."""

    project: Path | None
    environ: Mapping[str, str]
    cwd: Path
    trust: Trust
    files: Sequence[SettingsFile]
    profile: str | None
    env_file: Path | None
    overrides: Sequence[str]
    wanted: Callable[[KeyPath], bool]

    @classmethod
    def read(
        cls,
        file: Path | None,
        profile: str | None,
        overrides: Sequence[str],
        environ: Mapping[str, str] | None,
        cwd: Path | None,
        wanted: Callable[[KeyPath], bool] = lambda path: True,
        *,
        dotenv: bool = True,
    ) -> Sources:
        """Args: as of `load_config`. Raises ConfigError."""
        environ = os.environ if environ is None else environ
        cwd = working_directory() if cwd is None else cwd
        if file is None and environ.get("NRTCTL_CONFIG"):
            file = Path(environ["NRTCTL_CONFIG"])
        project = cwd / file if file is not None else found_upward(cwd)
        own = Trust.of_user(environ)
        trust = own if project is None or file is None else own.beside(project)
        files = []
        if (user := _user_file(environ)) is not None:
            files.append(SettingsFile.read(user, own))
        if project is not None:
            files.append(SettingsFile.read(project, None if file is not None else own))
        env_file = (project.parent if project is not None else cwd) / ".env"
        profile = profile or environ.get("NRTCTL_PROFILE") or None
        if not (dotenv and os.path.lexists(env_file)):
            return cls(project, environ, cwd, trust, files, profile, None, overrides, wanted)
        _, about = env_file_layer(env_file, trust)
        profile = profile or about.get("NRTCTL_PROFILE") or None
        return cls(project, environ, cwd, trust, files, profile, env_file, overrides, wanted)

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of `[pipelines.NAME]`, in the files' order."""
        return tuple(dict.fromkeys(name for each in self.files for name in each.pipelines))

    def _layers(self, pipeline: str | None) -> list[Layer]:
        """Lowest first. Raises ConfigError."""
        layers = [default_layer()]
        if pipeline is not None:
            layers.append(pipelines.default_layer(pipeline))
        local = partial(pipelines.variable, pipeline=pipeline, names=self.pipelines)
        given = _file_layers(self.files, self.profile, pipeline)
        if self.env_file is not None:
            given.append(env_file_layer(self.env_file, self.trust, local)[0])
        given.append(environment_layer(self.environ, self.cwd, local))
        for layer in given:
            layer.values = [each for each in layer.values if self.wanted(each.path)]
        flags = list(pipelines.flags(self.overrides, pipeline, self.pipelines))
        layers += [*given, flag_layer(flags, self.cwd)]
        for layer in layers:
            layer.problems += [*_not_from_a_file(layer), *parts.twice(layer)]
        return layers

    def _routed(self, config: Config, pipeline: str | None) -> Config:
        """With what the pipeline has to know of the others of its topic. Raises ConfigError."""
        if pipeline is None or not routing.depends(config.pipeline):
            return config
        trees = {name: _merged(self._layers(name))[0]["pipeline"] for name in self.pipelines}
        return routing.beside(config, pipeline, trees)

    def loaded(self, pipeline: str | None) -> Loaded:
        """The configuration of one pipeline, or of the only one. Raises ConfigError."""
        layers = self._layers(pipeline)
        tree, origins = _merged(layers)
        config = _checked(tree, layers)
        profiles = tuple(sorted({name for each in self.files for name in each.profiles}))
        state_dir = _state_dir(config, self.project, self.environ)
        if config.local.state_dir is None:
            check_state_dir(state_dir, self.trust)
        if config.stack.kind == "auto" and config.stack_kind == "local":
            docker = state_dir / DOCKER_UP
            if os.path.exists(docker):
                tree.setdefault("stack", {})["kind"] = "docker"
                origins["stack.kind"] = Origin(f"{docker}, written by `nrtctl up`", docker)
                config = _checked(tree, layers)
        if config.stack_kind == "local":
            kafka = config.kafka.with_login_file(state_dir / "kafka" / "password")
            config = config.model_copy(update={"kafka": kafka})
        config = self._routed(config, pipeline)
        return Loaded(
            config, origins, self.project, state_dir, self.trust, profiles, pipeline,
            self.pipelines,
        )  # fmt: skip

    def beside_others(self, pipeline: str | None) -> Loaded:
        """As `loaded`, checked with the others that are sound. Raises ConfigError."""
        one = self.loaded(pipeline)
        if pipeline is None:
            return one
        found: dict[str, Config] = {}
        for name in self.pipelines:
            with suppress(ConfigError):  # of one that is not meant
                found[name] = (one if name == pipeline else self.loaded(name)).config
        refuse_sharing(found)
        return one


def _not_from_a_file(layer: Layer) -> Iterator[str]:
    for each in layer.values:
        why = code_property(each.path[-1]) if each.path[:2] == ("kafka", "properties") else None
        if why is not None and each.origin.file is not None:
            key = f'kafka.properties."{each.path[-1]}"'
            yield (
                f"{each.origin}: {'.'.join(each.path)}: {why}, so no file may set it: give it in "
                f"the environment ({variable_of(each.path)}) or as --set '{key}=…'"
            )


def _user_file(environ: Mapping[str, str]) -> Path | None:
    given = environ.get("XDG_CONFIG_HOME", "")
    home = _home(environ)
    if os.path.isabs(given):
        path = Path(given) / "nrtctl" / "config.toml"
    elif home is not None:
        path = home / ".config" / "nrtctl" / "config.toml"
    else:
        return None
    return path if os.path.lexists(path) else None


def working_directory() -> Path:
    """Raises ConfigError: it was deleted, or may not be entered."""
    try:
        return Path.cwd()
    except OSError as error:
        why = "no longer exists" if isinstance(error, FileNotFoundError) else "is not usable"
        raise ConfigError(
            f"the working directory {why} ({error.strerror})",
            hint="change to a directory that exists, and run the command again",
        ) from error


def _home(environ: Mapping[str, str]) -> Path | None:
    """None: HOME names no directory, and the system does not know the user, as in a container that
    runs as any number."""
    given = environ.get("HOME", "")
    if os.path.isabs(given):
        return Path(given)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def _file_layers(
    files: Sequence[SettingsFile], profile: str | None, pipeline: str | None
) -> list[Layer]:
    """Of each file what it says, then its profile; of each, the sections, then the pipeline.

    Raises:
        ConfigError: no file has the profile.
    """
    layers: list[Layer] = []
    there = [name for each in files for name in each.pipelines]
    for each in files:
        for overlay in (None, profile) if profile in each.profiles else (None,):
            layers.append(each.layer(overlay))
            layers[-1].problems += each.unknown_pipelines(overlay, there)
            if pipeline is not None:
                pipelines.refuse_a_shared_table(layers[-1])
                layers.append(each.layer(overlay, pipeline))
    names = sorted({name for each in files for name in each.profiles})
    if profile is not None and profile not in names:
        known = f"it has {', '.join(names)}" if names else "it has no [profile.…] tables"
        raise ConfigError(f"profile {profile!r} is not in the configuration; {known}")
    return layers


def _merged(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, Origin]]:
    """Values as a tree, as the model reads it, and the origin of each by its dotted key."""
    values: dict[KeyPath, tuple[Any, Origin]] = {}
    for layer in layers:
        for top in layer.dropped:
            values = {path: v for path, v in values.items() if path[: len(top)] != top}
        values = parts.only_the_last(values, layer)
        for each in layer.values:
            values[each.path] = each.value, each.origin
    tree: dict[str, Any] = {}
    for path, (value, _) in values.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    for name in ("fields", "columns", "rejects", "rollups", "latest"):
        tree.setdefault("pipeline", {}).setdefault(name, {})
    origins = {
        ".".join(path): origin for path, (_, origin) in values.items() if origin is not DEFAULT
    }
    return tree, origins


def _checked(tree: dict[str, Any], layers: Sequence[Layer]) -> Config:
    problems = [line for layer in layers for line in layer.problems]

    def where(path: KeyPath) -> Origin | None:
        for end in range(len(path), 0, -1):
            for layer in reversed(layers):
                origin = layer.mentioned.get(path[:end])
                if origin is not None and origin is not DEFAULT:
                    return origin
        return None

    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        problems += problem_lines(error, tree, where)
    else:
        problems += _unknown_types(config, where)
        if not problems:
            return config
    raise ConfigError("\n".join(dict.fromkeys(problems)), hint=HINT)


def _unknown_types(config: Config, where: Callable[[KeyPath], Origin | None]) -> Iterator[str]:
    for name, spec in config.pipeline.fields.items():
        try:
            type_of(name, spec)
        except ValueError as error:
            yield line_of(("pipeline", "fields", name), str(error), where)


def _state_dir(config: Config, project: Path | None, environ: Mapping[str, str]) -> Path:
    if config.local.state_dir is not None:
        return config.local.state_dir.resolve()
    if project is not None:
        return project.resolve().parent / IN_PROJECT
    given = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "nrtctl"
    home = _home(environ)
    if home is None:
        raise ConfigError(
            "there is no home directory for the state of the local stack: HOME is not set, and the "
            f"system does not know user {os.getuid()}",
            hint="set HOME or local.state_dir, or work in a project: `nrtctl init` creates one",
        )
    return home / ".local" / "state" / "nrtctl"
