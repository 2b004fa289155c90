"""The listening socket of what answers HTTP."""

from __future__ import annotations

import socket

from nrtctl.local.serving import listen


def test_answers_are_sent_without_waiting_for_the_last_ones_acknowledgement() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
