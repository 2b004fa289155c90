"""SCRAM users, made and described by clients. The stack's own login is not theirs to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.login import USER
from nrtctl.local.broker.users import MAX_USERS, Mechanism, ScramKeys, Users
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

_LEAST_ITERATIONS: Final = 4_096
_MOST_ITERATIONS: Final = 16_384
_LONGEST_NAME: Final = 255
_LONGEST_SECRET: Final = 1_024


def describe_user_scram_credentials(context: Context, request: Any, reply: Reply) -> None:
    """v0: of the users that are named, or of all. Never what a password could be found from."""
    users = context.broker.users
    own = context.login.own_keys

    def of(name: str) -> Mapping[Mechanism, ScramKeys]:
        return own if name == USER and own else users.of(name)

    asked = [each.name for each in request.users or ()]
    count = Counter(asked)
    names = list(dict.fromkeys(asked)) or [*([USER] if own else ()), *users.names]
    results = []
    for name in names:
        infos = [
            {"mechanism": mechanism, "iterations": keys.iterations}
            for mechanism, keys in sorted(of(name).items())
        ]
        code, message = ErrorCode.none, None
        if count[name] > 1:
            code, message = ErrorCode.duplicate_resource, f"{name!r} is named more than once"
        elif not infos:
            code = ErrorCode.resource_not_found
            message = f"there is no SCRAM user {name!r}"
        answer = {"user": name, "error_code": code, "error_message": message}
        shown = infos if code is ErrorCode.none else ()
        results.append(answer | {"credential_infos": shown})
    reply({"error_message": None, "results": results})


def alter_user_scram_credentials(context: Context, request: Any, reply: Reply) -> None:
    """v0: each user is changed or refused by itself; one that is named twice is refused."""
    users = context.broker.users
    named = Counter(each.name for each in (*request.deletions, *request.upsertions))
    outcome: dict[str, Refused | None] = {}
    for change in (*request.deletions, *request.upsertions):
        try:
            _check(change.name, named[change.name])
            mechanism = _mechanism(change.mechanism)
            if hasattr(change, "salt"):
                _set(users, change, mechanism)
            else:
                _remove(users, change.name, mechanism)
            outcome[change.name] = None
        except Refused as refused:
            outcome[change.name] = refused
        except OSError as error:
            text = f"the broker's disk: {error.strerror}"
            outcome[change.name] = Refused(ErrorCode.kafka_storage_error, text)
    results = [
        {
            "user": name,
            "error_code": refused.code if refused else ErrorCode.none,
            "error_message": refused.message if refused else None,
        }
        for name, refused in outcome.items()
    ]
    reply({"results": results})


def _check(name: str, times: int) -> None:
    """Raises Refused: nobody may have this name, or it is there more than once."""
    if times > 1:
        raise Refused(ErrorCode.duplicate_resource, f"{name!r} is named more than once")
    if not name:
        raise Refused(ErrorCode.unacceptable_credential, "a user needs a name")
    if len(name) > _LONGEST_NAME:
        text = f"a user's name has at most {_LONGEST_NAME} characters"
        raise Refused(ErrorCode.unacceptable_credential, text)
    if name == USER:
        text = f"{USER} is the stack's own login: its password is a file, and stays what it is"
        raise Refused(ErrorCode.unacceptable_credential, text)


def _mechanism(number: int) -> Mechanism:
    """Raises Refused."""
    try:
        return Mechanism(number)
    except ValueError:
        raise Refused(ErrorCode.unsupported_sasl_mechanism, "unknown SCRAM mechanism") from None


def _set(users: Users, change: Any, mechanism: Mechanism) -> None:
    """Raises Refused or OSError."""
    iterations, salt, salted = change.iterations, bytes(change.salt), bytes(change.salted_password)
    if not _LEAST_ITERATIONS <= iterations <= _MOST_ITERATIONS:
        raise Refused(
            ErrorCode.unacceptable_credential,
            f"iterations are between {_LEAST_ITERATIONS} and {_MOST_ITERATIONS}",
        )
    if max(len(salt), len(salted)) > _LONGEST_SECRET or not salt:
        text = f"a salt and a salted password have at most {_LONGEST_SECRET} bytes"
        raise Refused(ErrorCode.unacceptable_credential, text)
    if change.name not in users.names and len(users.names) >= MAX_USERS:
        raise Refused(ErrorCode.policy_violation, f"this broker has at most {MAX_USERS} users")
    users.set(change.name, mechanism, ScramKeys.of_salted(salted, salt, iterations, mechanism))


def _remove(users: Users, name: str, mechanism: Mechanism) -> None:
    """Raises Refused or OSError."""
    if mechanism not in users.of(name):
        text = f"{name!r} has no {mechanism.title} credentials"
        raise Refused(ErrorCode.resource_not_found, text)
    users.remove(name, mechanism)
