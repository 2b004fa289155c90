"""Which pipeline a topic or a group belongs to, in commands that do not need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.config.load import Loaded
    from nrtctl.config.model import Config


def the_config(session: Session) -> Config:
    """Of the one pipeline that is meant. Raises ConfigError: there are several."""
    from nrtctl.config.pipelines import the_one

    if len(session.pipelines) > 1:
        the_one([str(each.pipeline) for each in session.pipelines])
    return session.pipelines[0].config


def the_topic(session: Session, topic: str | None) -> str:
    """The one that is named, else the pipeline's. Raises ConfigError: there are several."""
    return topic or the_config(session).pipeline.topic


def of_topic(pipelines: list[Loaded], topic: str) -> list[Loaded]:
    return [each for each in pipelines if each.config.pipeline.topic == topic]


def of_group(pipelines: list[Loaded], group: str) -> list[Loaded]:
    return [each for each in pipelines if each.config.consumer.group == group]


def whose(owners: list[Loaded]) -> str:
    """For a note: empty where it is no pipeline's."""
    names = [each.pipeline for each in owners if each.pipeline]
    if names:
        return f"of pipeline {', '.join(names)}"
    return "the pipeline's" if owners else ""
