"""From the sources of settings to one frozen configuration. Called by `cli.options`.

Precedence: flag, environment, `.env`, project file, user file, defaults.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nrtctl.config.files import (
    FILE_NAME,
    SettingsFile,
    default_layer,
    found_upward,
    template,
    template_on_free_ports,
)
from nrtctl.config.flags import flag_layer
from nrtctl.config.layer import DEFAULT, Layer, Origin
from nrtctl.config.model import Config
from nrtctl.config.problems import line_of, problem_lines
from nrtctl.config.shape import KeyPath, code_property
from nrtctl.config.trust import Trust, check_state_dir
from nrtctl.config.variables import env_file_layer, environment_layer, variable_of
from nrtctl.errors import ConfigError
from nrtctl.schema.types import field_type

__all__ = ["FILE_NAME", "Loaded", "Origin", "load_config", "template", "template_on_free_ports"]

HINT = "`nrtctl config schema` lists every key"

DOCKER_UP = Path("docker") / "up"
"""In the state directory while `stack.docker` has its containers up."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and how it came about.

    `origins`: dotted key to origin, for every value that was given; the rest are defaults.
    `project_file`: None where there is none. `state_dir`: absolute. `profiles`: those that the
    files have. `trust`: whose files beside the project file may be read.
    """

    config: Config
    origins: Mapping[str, Origin]
    project_file: Path | None
    state_dir: Path
    trust: Trust
    profiles: tuple[str, ...] = ()

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
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """Read every source and check the whole.

    Args:
        file: the project file; None: `NRTCTL_CONFIG`, or `nrtctl.toml` found upward from `cwd`.
        profile: overlay `[profile.NAME]`; None: `NRTCTL_PROFILE`, in the environment or `.env`.
        overrides: `section.key=value`, the value as in TOML, or a bare word.

    Raises:
        ConfigError: one line for each thing that is wrong: where, key, and what would be right.
    """
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
    dotenv, about = env_file_layer(env_file, trust) if os.path.lexists(env_file) else (Layer(), {})
    profile = profile or environ.get("NRTCTL_PROFILE") or about.get("NRTCTL_PROFILE") or None
    layers = [default_layer(), *_file_layers(files, profile), dotenv]
    layers += [environment_layer(environ, cwd), flag_layer(overrides, cwd)]
    for layer in layers:
        layer.problems += _not_from_a_file(layer)
    tree, origins = _merged(layers)
    config = _checked(tree, layers)
    profiles = tuple(sorted({name for each in files for name in each.profiles}))
    state_dir = _state_dir(config, project, environ)
    if config.local.state_dir is None:
        check_state_dir(state_dir, trust)
    if config.stack.kind == "auto" and config.stack_kind == "local":
        docker = state_dir / DOCKER_UP
        if os.path.exists(docker):
            tree.setdefault("stack", {})["kind"] = "docker"
            origins["stack.kind"] = Origin(f"{docker}, made by `nrtctl up`", docker)
            config = _checked(tree, layers)
    if config.stack_kind == "local":
        kafka = config.kafka.with_login_file(state_dir / "kafka" / "password")
        config = config.model_copy(update={"kafka": kafka})
    return Loaded(config, origins, project, state_dir, trust, profiles)


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
        why = "does not exist any more" if isinstance(error, FileNotFoundError) else "is not usable"
        raise ConfigError(
            f"the working directory {why} ({error.strerror})",
            hint="change to a directory that is there, and run it again",
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


def _file_layers(files: Sequence[SettingsFile], profile: str | None) -> list[Layer]:
    """Of each file what it says, then its profile.

    Raises:
        ConfigError: no file has the profile.
    """
    layers: list[Layer] = []
    for each in files:
        layers.append(each.layer())
        if profile is not None and profile in each.profiles:
            layers.append(each.layer(profile))
    names = sorted({name for each in files for name in each.profiles})
    if profile is not None and profile not in names:
        known = f"there are: {', '.join(names)}" if names else "it has no [profile.…] tables"
        raise ConfigError(f"profile {profile!r} is not in the configuration; {known}")
    return layers


def _merged(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, Origin]]:
    """Values as a tree, as the model reads it, and the origin of each by its dotted key."""
    values: dict[KeyPath, tuple[Any, Origin]] = {}
    for layer in layers:
        for top in layer.dropped:
            values = {path: v for path, v in values.items() if path[: len(top)] != top}
        for each in layer.values:
            values[each.path] = each.value, each.origin
    tree: dict[str, Any] = {}
    for path, (value, _) in values.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    for name in ("fields", "columns", "rejects", "rollups"):
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
    for name, kind in config.pipeline.fields.items():
        try:
            field_type(kind)
        except ValueError as error:
            yield line_of(("pipeline", "fields", name), str(error), where)


def _state_dir(config: Config, project: Path | None, environ: Mapping[str, str]) -> Path:
    if config.local.state_dir is not None:
        return config.local.state_dir.resolve()
    if project is not None:
        return project.resolve().parent / ".nrtctl"
    given = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "nrtctl"
    home = _home(environ)
    if home is None:
        raise ConfigError(
            "there is no home directory for the state of the local stack: HOME is not set, and the "
            f"system does not know user {os.getuid()}",
            hint="set HOME or local.state_dir, or use a project: `nrtctl init` makes one",
        )
    return home / ".local" / "state" / "nrtctl"
