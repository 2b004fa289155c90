"""Where settings come from, which one wins, and what is said of a wrong one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from nrtctl.config.describe import json_schema, shown
from nrtctl.config.load import Loaded, load_config, template
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError

ROOT = Path(__file__).parents[3]
SECRET = "s3cret-planted"


class Sources:
    """A directory with the sources of settings that a test writes."""

    def __init__(self, base: Path) -> None:
        self.project = base / "project"
        self.home = base / "home"
        self.project.mkdir()
        self.home.mkdir()
        self.environ = {"HOME": str(self.home)}

    def file(self, text: str, name: str = "nrtctl.toml") -> Path:
        path = self.project / name
        path.write_text(text)
        return path

    def user(self, text: str) -> None:
        path = self.home / ".config" / "nrtctl" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    def load(self, *overrides: str, profile: str | None = None, cwd: Path | None = None) -> Loaded:
        return load_config(
            overrides=overrides, environ=self.environ, cwd=cwd or self.project, profile=profile
        )

    def refused(self, *overrides: str, profile: str | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(*overrides, profile=profile)
        assert SECRET not in str(caught.value)
        return caught.value.message.splitlines()


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def test_each_source_wins_over_those_below(sources: Sources) -> None:
    def rows() -> tuple[int, str]:
        loaded = sources.load()
        return loaded.config.batch.max_rows, str(loaded.origin("batch.max_rows"))

    assert rows() == (100_000, "default")
    sources.user("[batch]\nmax_rows = 1\n")
    assert rows() == (1, f"{sources.home}/.config/nrtctl/config.toml:2")
    sources.file("\n[batch]\nmax_rows = 2\n")
    assert rows() == (2, f"{sources.project}/nrtctl.toml:3")
    sources.file("# x\nNRTCTL_BATCH__MAX_ROWS=3\n", ".env")
    assert rows() == (3, f"{sources.project}/.env:2 NRTCTL_BATCH__MAX_ROWS")
    sources.environ["NRTCTL_BATCH__MAX_ROWS"] = "4"
    assert rows() == (4, "environment NRTCTL_BATCH__MAX_ROWS")
    loaded = sources.load("batch.max_rows=5", "batch.max_rows=6")
    assert (loaded.config.batch.max_rows, str(loaded.origin("batch.max_rows"))) == (6, "--set")


def test_the_project_file_is_found_upward_and_holds_the_state(sources: Sources) -> None:
    sources.file("[batch]\nmax_rows = 2\n")
    below = sources.project / "a" / "b"
    below.mkdir(parents=True)
    loaded = sources.load(cwd=below)
    assert loaded.config.batch.max_rows == 2
    assert loaded.state_dir == sources.project.resolve() / ".nrtctl"


def test_without_a_file_the_state_is_the_users(sources: Sources) -> None:
    assert sources.load().state_dir == sources.home / ".local" / "state" / "nrtctl"
    sources.environ["XDG_STATE_HOME"] = "/elsewhere"
    assert sources.load().state_dir == Path("/elsewhere/nrtctl")


def test_paths_are_relative_to_where_they_are_written(sources: Sources) -> None:
    sources.file("[local]\nstate_dir = 'data'\n")
    below = sources.project / "a"
    below.mkdir()
    assert sources.load(cwd=below).state_dir == sources.project.resolve() / "data"
    assert sources.load("local.state_dir=x", cwd=below).state_dir == below.resolve() / "x"


def test_a_profile_is_laid_over_the_file(sources: Sources) -> None:
    sources.file("[batch]\nmax_rows = 2\nmax_wait = '1s'\n[profile.big.batch]\nmax_rows = 9\n")
    loaded = sources.load(profile="big")
    assert (loaded.config.batch.max_rows, loaded.config.batch.max_wait) == (9, 1.0)
    assert str(loaded.origin("batch.max_rows")).endswith("nrtctl.toml:5 [profile.big]")
    sources.environ["NRTCTL_PROFILE"] = "big"
    assert sources.load().config.batch.max_rows == 9
    assert sources.refused(profile="bigg")[0].endswith("it has big")


def test_the_configuration_is_frozen(sources: Sources) -> None:
    config = sources.load().config
    with pytest.raises(ValueError, match="frozen"):
        config.batch.max_rows = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("[batch]\nmax_rowz = 1\n", 2, ["batch.max_rowz", "did you mean 'max_rows'"]),
        ("[sink]\na = 1\n", 1, ["sink", "the known ones are kafka, clickhouse, pipeline"]),
        ("[batch]\nmax_wait = 5\n", 2, ["batch.max_wait", "'5s' or '5ms'"]),
        ("[batch]\nmax_wait = '5x'\n", 2, ["'5x' is not a duration", "as in '500ms'"]),
        ("[batch]\nmax_wait = '2h'\n", 2, ["'auto'", "at most 1h, not 2h"]),
        ("[batch]\nmax_wait = '0s'\n", 2, ["'auto'", "more than 0ms"]),
        ("[batch]\nmax_rows = '5'\n", 2, ["a whole number without quotes", '"5"']),
        ("[batch]\nmax_rows = 0\n", 2, ["at least 1, not 0"]),
        ("[batch]\nmax_bytes = '5 apples'\n", 2, ["is not a size", "64MiB"]),
        ("[local]\nmax_memory = '1KiB'\n", 2, ["at least 512MiB"]),
        ("[local]\nallow_remote = 'yes'\n", 2, ["true or false"]),
        ("[clickhouse]\ndatabase = 'a b'\n", 2, ["clickhouse.database", "SQL identifier"]),
        ("[clickhouse]\nurl = 'localhost:8123'\n", 2, ["clickhouse.url", "http://host:8123"]),
        ("[kafka]\nbootstrap_servers = 'here'\n", 2, ["kafka.bootstrap_servers", "host:port"]),
        ("[consumer]\ndelivery = 'once'\n", 2, ["'exactly-once' or 'at-least-once'"]),
        ("[kafka]\nbootstrap_servers = 'a.example:0'\n", 2, ["port 0", "local stack"]),
        ("[pipeline]\ntable = '1a'\n", 2, ["pipeline.table", "SQL identifier"]),
        ("[pipeline]\ntopic = 'a b'\n", 2, ["pipeline.topic", "topic name"]),
        ("[pipeline.fields]\na = 'Strin'\n", 2, ["pipeline.fields.a", "'Strin'", "String"]),
        ("[pipeline.columns]\n'a b' = '1'\n", 2, ["pipeline.columns.a b", "SQL identifier"]),
        (
            "[pipeline]\nengine = 'ReplacingMergeTree'\n",
            2,
            ["pipeline.engine", "[pipeline.latest.NAME]"],
        ),
        ("[[pipeline.routes]]\nwhen = 'x'\n", 1, ["pipeline.routes", "[pipelines.NAME]"]),
        ("[pipeline]\nttl = 'x'\n", 2, ["pipeline.ttl", "create the table yourself"]),
        ("[pipeline]\nskip = 'x'\n", 2, ["pipeline.skip", "a condition on the messages"]),
        ("[pipeline]\nprotobuf = true\n", 2, ["pipeline.protobuf", '"avro", "protobuf"']),
        ("[batch]\na = 1\na = 2\n", 3, ["is not TOML"]),
        ("[batch\n", 1, ["is not TOML"]),
        ("batch = 1\n", 1, ["batch", "must be a table"]),
    ],
)
def test_a_wrong_file_is_one_line_with_place_and_way_out(
    sources: Sources, text: str, line: int, parts: list[str]
) -> None:
    path = sources.file(text)
    said = sources.refused()
    assert len(said) == 1
    assert said[0].startswith(f"{path}:{line}: ")
    assert all(part in said[0] for part in parts), said


def test_everything_wrong_is_said_at_once(sources: Sources) -> None:
    sources.file("[batch]\nmax_rows = 0\nmax_wait = 5\n[stack]\nkind = 'podman'\n")
    sources.environ["NRTCTL_CONSUMER__GRUP"] = "x"
    said = sources.refused("local.fsync=sometimes")
    assert len(said) == 5
    assert sum("environment NRTCTL_CONSUMER__GRUP: unknown variable" in each for each in said) == 1
    assert sum("--set: local.fsync: must be 'never', 'interval'" in each for each in said) == 1


def test_files_that_cannot_be_read(sources: Sources) -> None:
    path = sources.project / "nrtctl.toml"
    path.write_bytes(b"a = 1\n\xff\xfe")
    assert sources.refused() == [f"{path}:2: is not UTF-8 text"]
    path.unlink()
    path.mkdir()
    assert sources.refused() == [f"{path}: is a directory, not a file"]
    path.rmdir()
    path.symlink_to("/nonexistent")
    assert sources.refused() == [f"{path}: no such file"]
    path.unlink()
    path.symlink_to(path)
    assert "cannot be read" in sources.refused()[0]


def test_an_empty_file_a_mark_and_windows_line_ends_are_fine(sources: Sources) -> None:
    sources.file("")
    assert sources.load().config.batch.max_rows == 100_000
    (sources.project / "nrtctl.toml").write_bytes(b"\xef\xbb\xbf[batch]\r\nmax_rows = 7\r\n")
    loaded = sources.load()
    assert loaded.config.batch.max_rows == 7
    assert str(loaded.origin("batch.max_rows")).endswith(":2")


def test_no_secret_is_shown(sources: Sources) -> None:
    sources.file(f"[kafka.properties]\n'sasl.password' = '{SECRET}'\n'linger.ms' = 7\n")
    sources.environ["NRTCTL_CLICKHOUSE__PASSWORD"] = SECRET
    sources.environ["NRTCTL_KAFKA__SASL_PASSWORD"] = SECRET
    loaded = sources.load(f"kafka.ssl_key_password={SECRET}")
    tree = shown(loaded.config)
    assert SECRET not in json.dumps(tree)
    assert SECRET not in repr(loaded)
    assert tree["clickhouse"]["password"] == tree["kafka"]["properties"]["sasl.password"]
    assert tree["kafka"]["properties"]["linger.ms"] == "7"


@pytest.mark.parametrize(
    "text",
    [
        f"[clickhouse]\nurl = 'http://me:{SECRET}@host:8123'\n",
        f"[clickhouse]\nurl = 'http://host:8123/?password={SECRET}'\n",
        f"[clickhouse]\nurl = 'http://host:8123#{SECRET}'\n",
        f"[schema_registry]\nurl = 'http://host:8081/?token={SECRET}'\n",
        f"[clickhouse]\npassword = ['{SECRET}']\n",
        f"[kafka]\nsasl_password = {{ a = '{SECRET}' }}\n",
        f"[kafka.properties]\n'sasl.password' = ['{SECRET}']\n",
    ],
)
def test_a_refused_secret_is_not_quoted(sources: Sources, text: str) -> None:
    sources.file(text)
    assert sources.refused()


SECRETS = [
    "kafka.sasl_password", "kafka.sasl_oauth_client_secret", "kafka.ssl_key_password",
    "clickhouse.password", "schema_registry.password", "schema_registry.token", "fetch.token",
    "fetch.password", "listen.token", "listen.secret", "listen.key_password",
]  # fmt: skip


@pytest.mark.parametrize("text", ["a\nb", "ab\n\n", "a\rb", "a\0b", "a\x7fb", "a\udcffb"])
def test_a_secret_is_one_line_and_is_not_quoted(sources: Sources, text: str) -> None:
    for key in SECRETS:
        sources.environ[f"NRTCTL_{key.upper().replace('.', '__')}"] = SECRET + text
    lines = sources.refused()
    for key in SECRETS:
        why = f"{key}: must be one line of text, without control characters"
        assert any(line.endswith(why) for line in lines), key


def test_the_line_end_of_a_file_is_not_part_of_a_secret(sources: Sources) -> None:
    sources.environ["NRTCTL_FETCH__TOKEN"] = f"{SECRET}\n"
    sources.environ["NRTCTL_CLICKHOUSE__PASSWORD"] = f"{SECRET} ю\r\n"
    config = sources.load().config
    assert config.fetch.token is not None
    assert config.clickhouse.password is not None
    assert config.fetch.token.get_secret_value() == SECRET
    assert config.clickhouse.password.get_secret_value() == f"{SECRET} ю"


def test_nor_of_what_stands_beside_a_secret(sources: Sources) -> None:
    sources.environ["NRTCTL_CLICKHOUSE__USERNAME"] = "ada\n"
    sources.environ["NRTCTL_CLICKHOUSE__URL"] = "http://127.0.0.1:8123\n"
    sources.environ["NRTCTL_SCHEMA_REGISTRY__USERNAME"] = "ada\r\n"
    sources.environ["NRTCTL_SCHEMA_REGISTRY__PASSWORD"] = SECRET
    sources.environ["NRTCTL_FETCH__USERNAME"] = "ada \n"
    sources.environ["NRTCTL_FETCH__PASSWORD"] = SECRET
    config = sources.load().config
    assert config.clickhouse.username == "ada"
    assert config.clickhouse.url == "http://127.0.0.1:8123"
    assert config.schema_registry.username == "ada"
    assert config.fetch.username == "ada "


@pytest.mark.parametrize("key", ["NRTCTL_FETCH__TOKEN", "NRTCTL_SCHEMA_REGISTRY__TOKEN"])
def test_a_token_that_no_header_can_hold_is_not_quoted(sources: Sources, key: str) -> None:
    sources.environ[key] = f"{SECRET} ю"
    assert "only characters of Latin-1" in "".join(sources.refused())


def test_the_schema_takes_the_files_that_are_shipped() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    files = [template(), *(p.read_text() for p in ROOT.glob("examples/*/nrtctl.toml"))]
    assert len(files) > 1
    for text in files:
        jsonschema.validate(tomllib.loads(text), schema)


def test_the_schema_has_defaults_and_bounds_as_a_file_has_them() -> None:
    batch = json_schema()["$defs"]["Batch"]["properties"]
    assert batch["max_wait"]["default"] == "auto"
    assert batch["max_wait"]["description"].endswith(". At most 1h.")
    assert batch["max_bytes"]["default"] == "64MiB"
    assert batch["max_bytes"]["description"].endswith(" At least 1KiB. At most 1GiB.")
    defaults = {
        re.sub(r"(?<=[a-z])(?=R)", "_", section).lower(): {
            name: key["default"] for name, key in about["properties"].items() if key.get("default")
        }
        for section, about in json_schema()["$defs"].items()
        if section not in {"FieldSpec", "Latest", "Pipeline", "Rollup", "Rows"}
    }
    jsonschema.validate(defaults, json_schema())


@pytest.mark.parametrize(
    "text",
    ["[batch]\nmax_rowz = 1\n", "[batch]\nmax_rows = '1'\n", "[batch]\nmax_wait = '5'\n", "x = 1\n",
     "[profile.a.batch]\nx = 1\n"],
)  # fmt: skip
def test_the_schema_refuses_what_the_command_refuses(sources: Sources, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), json_schema())
    sources.file(text)
    assert sources.refused(profile="a" if "profile" in text else None)


def test_a_client_property_that_nrtctl_needs_its_own_way_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be set here: partitions move one by one"):
        Kafka(properties={"partition.assignment.strategy": "range"})
    assert Kafka(properties={"partition.assignment.strategy": "cooperative-sticky"}).properties
