"""`nrtctl.testing`: stacks for other people's tests. Each is whole, apart, and gone at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import clickhouse_connect
import confluent_kafka
import pytest

import nrtctl
from nrtctl.local.process import Endpoint
from nrtctl.stack import spawn
from nrtctl.testing import LocalStack, local_stack
from tests.plugins.waiting import eventually

ORDERS = """
[kafka]
bootstrap_servers = "kafka.example.com:9093"
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
sasl_username = "shop"
[clickhouse]
url = "https://clickhouse.example.com:8443"
database = "shop"
cluster = "main"
[pipeline]
topic = "orders"
table = "orders"
order_by = ["order_id"]
[pipeline.fields]
order_id = "UInt64"
total = "Float64"
[pipeline.rejects]
"no total" = "total <= 0"
[profile.strict.pipeline.rejects]
"no total" = "total < 10"
"""


def pids(stack: LocalStack) -> list[int]:
    found = [Endpoint.read(stack.directory / ".nrtctl" / half) for half in ("kafka", "clickhouse")]
    return [each.pid for each in found if each is not None]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    file = tmp_path / "nrtctl.toml"
    file.write_text(ORDERS)
    return file


def test_a_pipeline_of_ones_own_with_any_client(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers and logins of the file are left out, as is the environment."""
    monkeypatch.setenv("NRTCTL_PIPELINE__TOPIC", "another")
    before = set(os.listdir(Path(orders).parent))
    with local_stack(orders) as stack:
        assert (stack.config.pipeline.topic, stack.database) == ("orders", "shop")
        producer = confluent_kafka.Producer(dict(stack.kafka_properties))
        for value in ('{"order_id": 1, "total": 9.5}', '{"order_id": 2, "total": 0}'):
            producer.produce("orders", value)
        assert producer.flush(30) == 0
        assert stack.client.consume(until_end=True).rows == 1
        password = stack.clickhouse_password
        other = clickhouse_connect.get_client(
            dsn=stack.clickhouse_url, username=stack.clickhouse_user, password=password,
            database=stack.database,
        )  # fmt: skip
        assert other.query("SELECT order_id, total FROM orders").result_rows == [(1, 9.5)]
        other.close()
        assert stack.client.query("SELECT reason FROM dead_letters") == [{"reason": "no total"}]
        assert stack.client.verify().ok
        assert stack.java_properties["bootstrap.servers"] == stack.bootstrap_servers
        assert len(password) > 20
        assert password not in repr(stack)
        assert stack.kafka_properties["sasl.password"] not in repr(stack)
    assert set(os.listdir(orders.parent)) == before


def test_settings_and_profiles_are_laid_over_the_file(orders: Path) -> None:
    """One of several pipelines, without what `.env` says."""
    text = ORDERS.replace("[pipeline", "[pipelines.orders")
    text = text.replace("[profile.strict.pipeline.", "[profile.strict.pipelines.orders.")
    orders.write_text(f"{text}\n[pipelines.other]\n[pipelines.other.fields]\nid = 'UInt8'\n")
    (orders.parent / ".env").write_text("NRTCTL_PROFILE=none\nNRTCTL_PIPELINES__ORDERS__TOPIC=x\n")
    with pytest.raises(nrtctl.ConfigError, match="2: orders, other"), local_stack(orders):
        pass
    settings = ["pipeline.partitions=2", "batch.max_rows=7"]
    with local_stack(
        orders, profile="strict", pipeline="orders", overrides=settings, up=False
    ) as stack:
        assert stack.config.pipeline.topic == "orders"
        assert stack.config.pipeline.rejects == {"no total": "total < 10"}
        assert (stack.config.pipeline.partitions, stack.config.batch.max_rows) == (2, 7)
        with pytest.raises(nrtctl.NrtctlError):
            stack.client.verify()
        stack.client.up()
        assert len(stack.client.verify().partitions) == 2


def test_nothing_is_left_after_an_error_also_of_what_was_stopped_or_killed() -> None:
    seen: list[LocalStack] = []
    processes: list[int] = []

    def fail() -> None:
        with local_stack() as stack:
            seen.append(stack)
            processes.extend(pids(stack))
            os.kill(processes[0], signal.SIGSTOP)
            os.kill(processes[1], signal.SIGKILL)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert len(processes) == 2
    assert not any(map(alive, processes))
    assert not seen[0].directory.exists()


@pytest.mark.long  # a demo beside another is the short form
def test_two_at_once_do_not_meet() -> None:
    with local_stack() as one, local_stack() as other:
        one.client.produce(count=5, seed=1)
        assert one.client.consume(until_end=True).records == 5
        assert other.client.consume(until_end=True).records == 0


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(
        "from nrtctl.testing import local_stack\n"
        "from nrtctl.local.process import Endpoint\n"
        "with local_stack() as stack:\n"
        "    for half in ('kafka', 'clickhouse'):\n"
        "        at = Endpoint.read(stack.directory / '.nrtctl' / half)\n"
        "        print(at.pid, flush=True)\n"
        "    input()\n"
    )
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = [int(process.stdout.readline()) for _ in range(2)]
        assert all(map(alive, found))
        process.kill()
    eventually(lambda: not any(map(alive, found)), "the end of both processes")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "find_spec", lambda name: None if name in {"kio", "chdb"} else name)
    with (
        pytest.raises(nrtctl.ConfigError, match="the local stack is not installed: kio, chdb"),
        local_stack(),
    ):
        pytest.fail("it began")


def test_a_wrong_pipeline_is_an_error_and_nothing_is_left(
    orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    orders.write_text(ORDERS.replace('"UInt64"', '"Unit64"'))
    with (
        pytest.raises(nrtctl.ConfigError, match=r"pipeline\.fields\.order_id"),
        local_stack(orders),
    ):
        pytest.fail("it began")
    assert [each.name for each in tmp_path.iterdir()] == ["nrtctl.toml"]


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_fixtures(orders: Path, several: bool) -> None:
    """Of one file, and of several, each with a stack."""
    tests = orders.parent
    (tests / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tests / "conftest.py").write_text('pytest_plugins = ["nrtctl.testing.fixtures"]\n')
    (tests / "test_orders.py").write_text(
        "import pytest\n"
        "from nrtctl.testing import LocalStack\n"
        "\n"
        "\n"
        "@pytest.mark.parametrize('total', [9.5, 0.0])\n"
        "def test_orders(nrtctl_stack: LocalStack, total: float) -> None:\n"
        "    client = nrtctl_stack.client\n"
        "    client.produce([{'order_id': 1, 'total': total}])\n"
        "    assert client.consume(until_end=True).rows == (total > 0)\n"
        "    assert nrtctl_stack.config.pipeline.topic == 'orders'\n"
    )
    if several:
        (tests / "other").mkdir()
        (tests / "other" / "test_reference.py").write_text(REFERENCE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 + several} passed" in done.stdout


REFERENCE = """
import pytest


@pytest.fixture(scope='session')
def nrtctl_file() -> None:
    return None


def test_reference(nrtctl_stack) -> None:
    assert nrtctl_stack.config.pipeline.topic == 'user_events'
"""
