"""The two requests of a login (see `login`, which decides)."""

from __future__ import annotations

from typing import Any

from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.login import MECHANISMS, LoginRefused
from nrtctl.local.broker.wire.errors import ErrorCode


def sasl_handshake(context: Context, request: Any, reply: Reply) -> None:
    """v0–1. Without a password it is refused, as on Apache Kafka's PLAINTEXT listener."""
    login = context.login
    if not login.is_asked:
        reply({"error_code": ErrorCode.illegal_sasl_state, "mechanisms": ()})
        return
    known = login.choose(request.mechanism, context.version)
    code = ErrorCode.none if known else ErrorCode.unsupported_sasl_mechanism
    reply({"error_code": code, "mechanisms": MECHANISMS})


def sasl_authenticate(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: one step of the login that the handshake began. A session has no end."""
    login = context.login
    if not login.is_under_way:
        reply(
            {
                "error_code": ErrorCode.illegal_sasl_state,
                "error_message": "SaslAuthenticate request received "
                + ("before SaslHandshake" if login.is_asked else "without SASL on the listener"),
            }
        )
        return
    try:
        reply({"auth_bytes": login.answer(bytes(request.auth_bytes))})
    except LoginRefused as refused:
        reply(
            {
                "error_code": ErrorCode.sasl_authentication_failed,
                "error_message": f"Authentication failed: {refused}",
            }
        )
