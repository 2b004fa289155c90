"""Seeded pools of the parts that reference events are put together from.

Called by `reference_events`.

Everything slow (Faker, distributions, formatting of numbers) happens here, once, so that an event
costs a few look-ups. Importing this module imports Faker.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from faker import Faker

PRODUCTS = 10_000
SCRIPTS = 4096
OUTCOMES = 1 << 14
ERROR_SHARE = 0.10
MEDIAN_LATENCY_MS = 85.0
LATENCY_SIGMA = 0.7
MAX_LATENCY_MS = 60_000

END = ""
FUNNEL: dict[str, tuple[tuple[str, float], ...]] = {
    "SEARCH": (("SEARCH", 0.25), ("VIEW_PRODUCT", 0.60), (END, 0.15)),
    "VIEW_PRODUCT": (("VIEW_PRODUCT", 0.30), ("SEARCH", 0.22), ("ADD_TO_CART", 0.28), (END, 0.20)),
    "ADD_TO_CART": (
        ("VIEW_PRODUCT", 0.25), ("SEARCH", 0.15), ("CHECKOUT", 0.45), (END, 0.15),
    ),
    "CHECKOUT": (("PAYMENT", 0.80), ("VIEW_PRODUCT", 0.05), (END, 0.15)),
    "PAYMENT": ((END, 0.85), ("SEARCH", 0.15)),
}  # fmt: skip
"""From one event to the next within a session: a Markov chain, END closes the session."""

LANDING_PAGES = (("SEARCH", 0.65), ("VIEW_PRODUCT", 0.35))
MAX_SESSION = 40

ERROR_CODES = (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504)
RARE_ERRORS = 0.2
"""Share of errors whose code is any of 400–599 rather than one of the common ones."""

Choices = tuple[Sequence[str], Sequence[float]]
"""Names, and the sums of their weights up to each."""

Step = tuple[bytes, bytes]
"""(text before the event time, text after the outcome) of one event in a session."""


@dataclass(frozen=True, slots=True)
class Pools:
    users: list[bytes]
    scripts: list[tuple[Step, ...]]
    outcomes: list[bytes]


def build(seed: int, users: int) -> Pools:
    """The pools of a seed. The same arguments give the same pools with the same Faker version."""
    fake = Faker("en_US")
    fake.seed_instance(seed)
    uuid4 = fake.factories[0].uuid4
    rng = random.Random(f"nrtctl pools {seed}")  # noqa: S311
    popular = list(range(1, PRODUCTS + 1))
    rng.shuffle(popular)
    return Pools(
        users=[str(uuid4()).encode() for _ in range(users)],
        scripts=[_script(rng, popular) for _ in range(SCRIPTS)],
        outcomes=_outcomes(rng),
    )


def _script(rng: random.Random, popular: list[int]) -> tuple[Step, ...]:
    """One visit. Products are skewed (few are viewed often); the cart gets what was last viewed."""
    steps: list[Step] = []
    product = 0
    event_type = _draw(rng, _LANDINGS)
    while event_type != END and len(steps) < MAX_SESSION:
        if event_type == "VIEW_PRODUCT":
            product = popular[int(PRODUCTS * rng.random() ** 2.5)]
        steps.append(_step(event_type, product))
        event_type = _draw(rng, _NEXT[event_type])
    return tuple(steps)


def _step(event_type: str, product: int) -> Step:
    has_product = event_type in {"VIEW_PRODUCT", "ADD_TO_CART"}
    before = f'"event_type": "{event_type}", "event_timestamp": '
    after = f', "product_id": {product}}}' if has_product else "}"
    return before.encode(), after.encode()


def _summed(weighted: Sequence[tuple[str, float]]) -> Choices:
    return [name for name, _ in weighted], [*accumulate(weight for _, weight in weighted)]


_LANDINGS = _summed(LANDING_PAGES)
_NEXT = {name: _summed(weighted) for name, weighted in FUNNEL.items()}


def _draw(rng: random.Random, choices: Choices) -> str:
    """What `rng.choices` gives for one, without the sums."""
    names, sums = choices
    return names[bisect(sums, rng.random() * sums[-1], 0, len(names) - 1)]


def _outcomes(rng: random.Random) -> list[bytes]:
    """Latency and status, exactly one in ten an error; errors take half as long again."""
    pool = []
    errors = round(OUTCOMES * ERROR_SHARE)
    for number in range(OUTCOMES):
        failed = number < errors
        median = MEDIAN_LATENCY_MS * (1.5 if failed else 1.0)
        latency = median * rng.lognormvariate(0.0, LATENCY_SIGMA)
        text = f'"request_latency_ms": {min(MAX_LATENCY_MS, max(1, round(latency)))}, "status": '
        if failed:
            rare = rng.random() < RARE_ERRORS
            code = rng.randint(400, 599) if rare else rng.choice(ERROR_CODES)
            text += f'"ERROR", "error_code": {code}'
        else:
            text += '"SUCCESS"'
        pool.append(text.encode())
    rng.shuffle(pool)
    return pool
