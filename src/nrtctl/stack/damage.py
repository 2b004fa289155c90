"""What the local broker and registry know to be damaged, in words.

Called by `up`, `status` and `doctor`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nrtctl.config.counted import counted, offsets
from nrtctl.local.damage import Damage, Damaged, SetAside
from nrtctl.stack.state_dir import KAFKA, REGISTRY

SHOWN = 10
MEND = (
    "`nrtctl consume --skip-damaged` continues behind them; messages in them that are not "
    "stored yet are lost"
)


def known(state_dir: Path) -> Damage:
    """What is damaged, and what was set aside and is still there."""
    damage = Damage.read(state_dir / KAFKA)
    return replace(
        damage, set_aside=[each for each in damage.set_aside if Path(each.file).exists()]
    )


def warnings(state_dir: Path) -> list[str]:
    """A sentence for each damage; of many, the first ones and how many more."""
    damage = known(state_dir)
    texts = [f"{where(each)} {found(each)}; {MEND}" for each in damage.damaged] + [
        f"{where(each)} {found(each)}" for each in damage.set_aside
    ]
    if len(texts) > SHOWN:
        texts[SHOWN:] = [
            f"{counted(len(texts) - SHOWN, 'more damaged place is', 'more damaged places are')} "
            "listed in "
            f"{KAFKA}/damage.json"
        ]
    return texts + [f"the schema registry: {text}" for text in torn(state_dir)]


def torn(state_dir: Path) -> list[str]:
    """What the registry could not read of its journal, and has set aside."""
    return [
        f"lines of its journal could not be read and are kept in {path} until somebody removes "
        "it; ids that they may have given are not given again"
        for path in sorted((state_dir / REGISTRY).glob("torn-*.bin"))
    ]


def where(each: Damaged | SetAside) -> str:
    return f"the broker's log of {each.topic}/{each.partition}:"


def found(each: Damaged | SetAside) -> str:
    if isinstance(each, Damaged):
        return f"the messages at {offsets(each.start, each.end)} are damaged"
    return (
        f"its end was incomplete and was cut off at offset {each.offset}; "
        f"{counted(each.size, 'byte is', 'bytes are')} kept in {each.file} until somebody removes "
        f"{'it' if each.size == 1 else 'them'}"
    )
