"""The definitions of databases and tables, as they lie on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrtctl.local.front.default_database import prepare
from nrtctl.local.front.definitions import Definitions, mend_databases

UUID = "42580337-e32f-4a0a-9392-40e92f170de8"
WHOLE = f"ATTACH DATABASE _ UUID '{UUID}'\nENGINE = Atomic\n"


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    (tmp_path / "metadata").mkdir()
    return tmp_path / "metadata"


@pytest.mark.parametrize(
    "left", [b"", b"\xff\x00 ATTACH", WHOLE[:30].encode(), WHOLE[:70].encode()]
)
def test_a_damaged_definition_without_tables_makes_room(metadata: Path, left: bytes) -> None:
    """It would be in the way of the one that is written next."""
    assert not prepare(metadata.parent)
    (metadata / "default.sql").write_bytes(left)
    assert not prepare(metadata.parent)
    assert not (metadata / "default.sql").exists()


def test_a_database_is_known_by_the_link_to_its_tables(metadata: Path) -> None:
    for name in ("default", "a%2Eb"):
        (metadata / name).symlink_to(Path("..", "store", UUID[:3], UUID))
        (metadata / f"{name}.sql").write_text(WHOLE[:40])
    (metadata / "no_link.sql").write_text("")
    (metadata / "sound.sql").write_text("ATTACH DATABASE _\n")
    (metadata / "sound").symlink_to(Path("..", "store", UUID[:3], UUID))
    assert prepare(metadata.parent)
    mend_databases(metadata.parent)
    found = {path.stem: path.read_text() for path in metadata.glob("*.sql")}
    assert found == {
        "default": WHOLE, "a%2Eb": WHOLE, "no_link": "", "sound": "ATTACH DATABASE _\n",
    }  # fmt: skip


def test_a_definition_that_was_cut_is_as_before(metadata: Path) -> None:
    definitions = Definitions(metadata.parent)
    store = metadata.parent / "store" / UUID[:3] / UUID
    store.mkdir(parents=True)
    table, other, new = (store / f"{name}.sql" for name in ("t", "other", "new"))
    table.write_text("ATTACH TABLE _\n")
    other.write_text("ATTACH VIEW _\n")
    definitions.remember()
    table.write_text("")
    other.write_text("ATTACH VIEW _ AS SELECT 2\n")
    new.write_text("")
    definitions.remember()  # for the next statement
    assert definitions.mend()
    found = {path.stem: path.read_text() for path in store.glob("*.sql")}
    assert found == {"t": "ATTACH TABLE _\n", "other": "ATTACH VIEW _ AS SELECT 2\n", "new": ""}
