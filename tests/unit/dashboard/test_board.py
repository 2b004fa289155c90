"""What the board keeps of the looks."""

from __future__ import annotations

import asyncio

from nrtctl.view.dashboard.board import WATCHED_EVERY, Board
from tests.unit.view.sample import snapshot


def test_what_was_watched_goes_on_where_the_clock_is_put_back() -> None:
    times = [5000.0, 5001.0, 5040.0, 1400.0, 1401.0, 1400.0 + WATCHED_EVERY]

    async def watch() -> Board:
        board = Board(asyncio.get_running_loop())
        for number, time in enumerate(times):
            board.publish({"": snapshot(time=time)})
            assert await board.after(number, 30) == number + 1
        return board

    kept = asyncio.run(watch()).watched("")["time"][: -len(times)]
    assert kept == [5000.0, 5040.0, 1400.0, 1430.0]
