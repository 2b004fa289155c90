"""When logs are compacted, and by whom: a process of its own, one at a time. Started by `__main__`.

It makes new segments beside the old ones; only when all of a partition are there they are put in
place, between two requests. So killing either process at any time leaves the log as it was, or
compacted in part, which reads the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
import uuid
from dataclasses import asdict
from typing import Any, Final

from nrtctl.local.broker.broker import Broker, Partition, Topic, now_ms
from nrtctl.local.broker.log.cleaned import Job, Outcome, forget_unfinished

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
AGAIN_AFTER: Final = 600.0
"""Seconds after a pass that failed."""
_CLEANER: Final = "nrtctl.local.broker.log.cleaner"


class Compactor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._rest_until: dict[str, float] = {}
        """By directory of a partition, on the monotonic clock."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except (OSError, ValueError) as error:
                logger.error("compaction: %s", error)

    async def _look(self) -> None:
        due = self._due()
        if not due:
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", _CLEANER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            jobs = json.dumps([asdict(job) for _, _, job in due]).encode()
            answers, said = await process.communicate(jobs)
        finally:
            if process.returncode is None:
                process.kill()
                with contextlib.suppress(ProcessLookupError):
                    await process.wait()
        found = {each["directory"]: each for each in map(json.loads, answers.splitlines())}
        why = said.decode(errors="replace").strip().rpartition("\n")[2] or "it was ended"
        for topic, partition, job in due:
            self._take(topic, partition, job, found.get(job.directory, {"error": why}))

    def _due(self) -> list[tuple[Topic, Partition, Job]]:
        name = uuid.uuid4().hex
        found = []
        for topic in self._broker.topics.values():
            rules = topic.config.compaction
            if rules is None:
                continue
            for partition in topic.partitions:
                log = partition.log
                if self._rest_until.get(str(log.directory), 0) > time.monotonic():
                    continue
                try:
                    job = log.to_compact(rules, name, now_ms())
                except OSError as error:
                    self._failed(topic, partition, error)
                    continue
                if job is not None:
                    found.append((topic, partition, job))
        return found

    def _take(self, topic: Topic, partition: Partition, job: Job, answer: dict[str, Any]) -> None:
        log, rules = partition.log, topic.config.compaction
        try:
            if self._broker.topics.get(topic.name) is not topic or rules is None:
                return
            if "error" in answer:
                raise OSError(answer["error"])
            before = log.size
            outcome = Outcome(answer["cleaned_to"], answer["changed"])
            log.take_compacted(job, outcome, rules, now_ms=now_ms())
            logger.info(
                "%s-%d: compacted to offset %d, %d bytes are %d",
                *(topic.name, partition.index, outcome.cleaned_to, before, log.size),
            )
        except OSError as error:
            self._failed(topic, partition, error)
        finally:
            forget_unfinished(log.directory, job.name)

    def _failed(self, topic: Topic, partition: Partition, error: OSError) -> None:
        logger.error("%s-%d is not compacted: %s", topic.name, partition.index, error)
        self._rest_until[str(partition.log.directory)] = time.monotonic() + AGAIN_AFTER
