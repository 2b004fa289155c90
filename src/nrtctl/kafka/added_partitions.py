"""Whether a topic has got more partitions, by the statistics of a client that knows it anyway.

Called by `producer`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from nrtctl.config.counted import counted

STATISTICS_MS = 3000


class AddedPartitions:
    """librdkafka's `stats_cb` of a producer: tells when its topic has got more partitions."""

    def __init__(self, topic: str, notice: Callable[[str], None]) -> None:
        self._topic = topic
        self._notice = notice
        self._known = 0

    def __call__(self, statistics: str) -> None:
        topic = json.loads(statistics)["topics"].get(self._topic, {"partitions": {}})
        count = sum(int(number) >= 0 for number in topic["partitions"])
        if self._known and count > self._known:
            self._notice(
                f"{self._topic} now has {counted(count, 'partition')} instead of {self._known}: "
                "from now on, the messages of a key may go to another partition"
            )
        self._known = max(self._known, count)
