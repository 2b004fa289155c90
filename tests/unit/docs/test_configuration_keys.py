"""The page of every key is the one that `make keys` writes, and says something of each."""

from __future__ import annotations

import re

from benchmarks.configuration_keys import PAGE, page
from nrtctl.config.shape import fixed_keys


def test_the_page_is_made_from_the_schema() -> None:
    assert PAGE.read_text() == page(), "run `make keys`"


def test_each_key_has_a_row_with_a_sentence() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \| (.+) \| (.+) \|$", page(), re.M)
    named = [row[0] for row in rows]
    assert [key for key in named if ".NAME." not in key] == [".".join(key) for key in fixed_keys()]
    assert "pipeline.rollups.NAME.by" in named
    for key, _, _, meaning in rows:
        assert re.fullmatch(r"[A-Z].*\.", meaning), key


def test_defaults_and_types_are_as_people_write_them() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+ \| .+) \| .+ \|$", page(), re.M))
    assert rows["batch.max_wait"] == "`auto` or duration | `auto`"
    assert rows["consumer.max_buffer"] == "size | `80MiB`"
    assert rows["consumer.max_inserts"] == "integer, 1 to 64 | `2`"
    assert rows["kafka.sasl_password"] == "secret | –"
    assert rows["local.allow_remote"] == "true or false | `false`"
    assert rows["clickhouse.ca_certificate"] == "path | –"
    assert rows["pipeline.order_by"] == "list of text | –"
    assert rows["pipeline.fields"] == "table | –"
