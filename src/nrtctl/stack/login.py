"""The passwords of the local broker and registry: made by `up`, found by every command.

It is kept in `kafka/password` (mode 0600) in the state directory while the broker asks for it, and
`kafka/auth` says whom it asks. A broker of the version before has neither, and asks nobody.
Called by `stack.spawn`, `up` and `status`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.kafka.properties import LOCAL_MECHANISM, LOCAL_USER, local_password, password_file
from nrtctl.local.process import write_atomically
from nrtctl.net.kept import kept
from nrtctl.stack.state_dir import KAFKA, REGISTRY, live


def broker_arguments(config: Config, state_dir: Path) -> list[str]:
    """What the broker is started with. Makes the password, or removes it (`local.auth`).

    Raises:
        OSError: the state directory cannot be written.
    """
    path = password_file(state_dir)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    auth = config.local.auth
    if auth == "none":
        path.unlink(missing_ok=True)
    elif local_password(path) is None:
        write_atomically(path, secrets.token_urlsafe(24).encode())
    else:
        os.chmod(path, 0o600)
    write_atomically(_auth_file(state_dir), auth.encode())
    if auth == "none":
        return []
    return ["--password-file", str(path), *(["--ask-everybody"] if auth == "password" else [])]


def _auth_file(state_dir: Path) -> Path:
    return state_dir / KAFKA / "auth"


def auth_of_running(state_dir: Path) -> str:
    """`local.auth` as it was when the broker was started."""
    try:
        return kept(_auth_file(state_dir))
    except OSError:
        return "none"


def has_password(state_dir: Path) -> bool:
    return os.path.exists(password_file(state_dir))


def connecting(address: str, state_dir: Path) -> dict[str, dict[str, str]]:
    """The properties that other clients need, by the kind of client: `librdkafka`, `java`.

    Raises:
        ConfigError: the password is another user's.
    """
    common = {"bootstrap.servers": address, "security.protocol": "PLAINTEXT"}
    password = local_password(password_file(state_dir))
    if password is None:
        return {"librdkafka": common, "java": common}
    common |= {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": LOCAL_MECHANISM}
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {
        "librdkafka": common | {"sasl.username": LOCAL_USER, "sasl.password": password},
        "java": common
        | {"sasl.jaas.config": f'{module} required username="{LOCAL_USER}" password="{password}";'},
    }


def registry_password(state_dir: Path) -> str | None:
    """None: there is none that this user may read."""
    try:
        return kept(state_dir / REGISTRY / "password")
    except OSError:
        return None


def connecting_to_registry(state_dir: Path) -> dict[str, str] | None:
    """The properties of clients of the schema registry; None: it does not run."""
    there = live(state_dir, REGISTRY)
    if there is None:
        return None
    return {
        "schema.registry.url": f"http://{there.address}",
        "basic.auth.credentials.source": "USER_INFO",
        "basic.auth.user.info": f"{LOCAL_USER}:{registry_password(state_dir) or ''}",
    }
