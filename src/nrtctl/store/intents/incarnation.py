"""Which topic of a name it is: one that is deleted and made again counts its offsets anew. Pure.

Kafka gives each topic an id of its own (KIP-516, since 2.8). The rows carry a number instead, which
`store.incarnations` keeps beside the id; the commit metadata carries a tag made from the id, so
that Kafka alone tells whether a committed offset is of the topic that is there now.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from nrtctl.pipeline import FIRST

WITHOUT_ID = "without id"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One topic of a name.

    Attributes:
        number: the rows carry it as `_incarnation`.
        topic_id: Kafka's, in the form that Kafka's tools print; empty: the broker gives none.
    """

    number: int = FIRST
    topic_id: str = ""

    @property
    def tag(self) -> str:
        """Names the topic in commit metadata: eight hexadecimal digits; empty: it is the first of
        the name, on a broker that gives no ids."""
        if not self.topic_id and self.number != FIRST:
            return tag_of(f"{WITHOUT_ID} {self.number}")
        return tag_of(self.topic_id)


def tag_of(topic_id: str) -> str:
    """`Incarnation.tag`."""
    return blake2b(topic_id.encode(), digest_size=4).hexdigest() if topic_id else ""
