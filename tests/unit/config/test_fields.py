"""Fields that say more than their type, from each source of settings."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from nrtctl.config.describe import json_schema, shown
from nrtctl.config.load import Loaded, load_config
from nrtctl.errors import ConfigError

FILE = """\
[pipeline.fields]
id = "UInt64"
at = { type = "DateTime64(3)", from = "@timestamp", format = ["iso", "%F %T"], accept = "spaces" }

[pipeline.fields.n]
type = "UInt8"
from = ["payload", "items", 0, "n"]
default = { missing = 0 }
empty = { as = "null", texts = ["", "-"] }
"""


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def load(self, text: str, *overrides: str, **environ: str) -> Loaded:
        (self.directory / "nrtctl.toml").write_text(text)
        home = {"HOME": str(self.directory), **environ}
        return load_config(overrides=overrides, environ=home, cwd=self.directory)

    def refused(self, text: str, *overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(text, *overrides)
        return caught.value.message


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_file_has_them_as_tables_of_either_form(project: Project) -> None:
    loaded = project.load(FILE)
    assert shown(loaded.config)["pipeline"]["fields"] == {
        "id": "UInt64",
        "at": {
            "type": "DateTime64(3)", "from": "@timestamp", "format": ["iso", "%F %T"],
            "accept": ["spaces"],
        },
        "n": {
            "type": "UInt8", "from": ["payload", "items", 0, "n"], "default": {"missing": 0},
            "empty": {"as": "null", "texts": ["", "-"]},
        },
    }  # fmt: skip
    assert str(loaded.origin("pipeline.fields.at")).endswith("nrtctl.toml:3")
    jsonschema.validate(tomllib.loads(FILE), json_schema())


def test_a_flag_replaces_a_field_as_a_whole(project: Project) -> None:
    flag = 'pipeline.fields.at={ type = "String", from = ["a", "b"] }'
    assert project.load(FILE, flag).config.pipeline.fields["at"].from_ == ("a", "b")
    short = project.load(FILE, "pipeline.fields.at=String").config.pipeline.fields["at"]
    assert (short.type, short.from_) == ("String", None)
    whole = 'pipeline.fields={ x = { type = "UInt8", from = "X" }, y = "String" }'
    assert list(project.load(FILE, whole).config.pipeline.fields) == ["x", "y"]


def test_a_variable_sets_a_field(project: Project) -> None:
    loaded = project.load(
        FILE,
        NRTCTL_PIPELINE__FIELDS__id="Int8",
        NRTCTL_PIPELINE__FIELDS__at='{"type": "String", "from": "@at"}',
    )
    fields = loaded.config.pipeline.fields
    assert (fields["id"].type, fields["at"].from_) == ("Int8", "@at")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('x = { type = "UInt8", epoch = "s" }', "2: pipeline.fields.x: epoch: UInt8 is not a time"),
        ('x = { type = "UInt8", accept = ["0/1"] }', "accept: '0/1' is for Bool"),
        ('x = { type = "UInt8", form = 1 }', "unknown key"),
        ('x = { from = "y" }', "pipeline.fields.x.type: is required"),
        ('x = { type = 5 }', "must be text in quotes"),
        ("x = 5", 'pipeline.fields.x: write its type, as in "String"'),
        ('x = { type = "UInt8", from = 5 }', "5 does not name a place: write a key"),
        ('x = { type = "DateTime", precision = "a" }', "must be 'exact' or 'cut', not \"a\""),
        ('x = { type = "DateTime", epoch = "m" }', "must be 'd', 's', 'ms', 'us' or 'ns'"),
        ('x = { type = "UInt8", accept = 5 }', "accept: must be"),
        ('x = { type = "UInt8", empty = "" }', 'write "null", "missing" or'),
        ("x = { type = 'Nulable(UInt8)' }", "write Nullable(UInt8)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(project: Project, field: str, said: str) -> None:
    message = project.refused(f"[pipeline.fields]\n{field}\n")
    assert said in message
    assert "nrtctl.toml:2: pipeline.fields.x" in message


def test_a_step_to_the_rows_may_be_several_keys(project: Project) -> None:
    file = 'pipeline.rows = ["m", ["sum", "gauge"], "p"]\npipeline.fields.id = "UInt8"\n'
    loaded = project.load(file)
    assert shown(loaded.config)["pipeline"]["rows"] == ["m", ["sum", "gauge"], "p"]
    jsonschema.validate(tomllib.loads(file), json_schema())
    table = 'pipeline.rows = { from = [["sum", "gauge"], ["p"]], single = true }\n'
    rows = project.load(table + 'pipeline.fields.id = "UInt8"\n').config.pipeline.rows
    assert rows is not None
    assert rows.from_ == (("sum", "gauge"), "p")
    variable = '["m", ["sum", "gauge"]]'
    set_by = project.load('pipeline.fields.id = "UInt8"\n', NRTCTL_PIPELINE__ROWS=variable)
    assert shown(set_by.config)["pipeline"]["rows"] == ["m", ["sum", "gauge"]]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"pipeline": {"rows": [["x", 5]]}}, json_schema())
