"""How many small mistakes in the pure core the unit tests find.

`python -m benchmarks.mutants --count 51 --seed 1` (`make mutants`) makes that many mutants, spread
evenly over MODULES and chosen by the seed: a comparison with its bound moved, `and` for `or`, a
number one higher, a statement left out. Each is written into a copy of `src`, one at a time, and
the unit tests of its area run against that copy; if they pass, all unit tests do. The mutant is
killed if a test fails that passes without it. A mutant that no test notices survives, and is
printed with the line to look at.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNIT = "tests/unit"
MAX_TEST_SECONDS = 300
MAX_SECONDS = 3600
"""For one test, and for all, after which they are taken to hang."""
MODULES: Mapping[str, tuple[str, ...]] = {
    "nrtctl.config.units": ("config/test_units.py", "config"),
    "nrtctl.consumer.assignment": ("core/test_together.py", "core", "exactly_once"),
    "nrtctl.consumer.buffer": ("core/test_buffer.py", "core", "exactly_once"),
    "nrtctl.consumer.insert": ("core/test_together.py", "core", "exactly_once"),
    "nrtctl.consumer.partition": ("core/test_partition.py", "core", "exactly_once"),
    "nrtctl.consumer.flush_policy": ("core/test_flush_policy.py", "core"),
    "nrtctl.consumer.topic_check": ("core/test_topic_check.py", "core", "exactly_once"),
    "nrtctl.kafka.offsets": ("replay/test_offsets.py", "replay"),
    "nrtctl.local.broker.groups.coordinator": ("broker/test_coordinator.py", "broker"),
    "nrtctl.local.broker.wire.codec": ("broker/test_codec.py", "broker"),
    "nrtctl.producer.sources.files.csv": ("sources/test_csv.py", "sources"),
    "nrtctl.producer.sources.files.line_spans": ("sources/test_line_spans.py", "sources"),
    "nrtctl.replay.plan": ("replay/test_plan.py", "replay"),
    "nrtctl.stats.rates": ("stats/test_rates.py", "stats"),
    "nrtctl.stats.verdict": ("stats/test_verdict.py", "stats"),
    "nrtctl.store.envelope": ("core/test_envelope.py", "core", "metrics"),
    "nrtctl.store.intents.delivery": ("core/test_writer.py", "core", "exactly_once"),
    "nrtctl.store.intents.position": ("core/test_intents.py", "core", "exactly_once"),
    "nrtctl.store.intents.ranges": ("core/test_intents.py", "core", "exactly_once"),
    "nrtctl.store.tokens": ("core/test_tokens.py", "core"),
    "nrtctl.verify.compare": ("verify/test_compare.py", "verify"),
}
"""Modules without input and output. Of each the unit tests that are about it: first the file, then
the directories."""

_SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TYPES = {"bool", "bytes", "dict", "float", "int", "list", "set", "str", "tuple"}
_LEFT_OUT = ("annotation", "returns", "decorator_list", "bases")


Node = ast.expr | ast.stmt


@dataclass(frozen=True)
class Mutant:
    """One small mistake.

    Attributes:
        line: from 1.
        before, after: the piece of source text that differs.
        text: the whole module with the mistake in it.
    """

    module: str
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}  {_short(self.before)}  →  {_short(self.after)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:67]}..."


def mutants(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text. Texts for people and types are left."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = source.encode()
    found = []
    for node, changed in _changes(ast.parse(source)):
        first = starts[node.lineno - 1] + node.col_offset
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        last = starts[node.end_lineno - 1] + node.end_col_offset
        after = ast.unparse(ast.fix_missing_locations(changed))
        if isinstance(changed, ast.expr) and not isinstance(changed, ast.Constant | ast.Name):
            after = f"({after})"
        text = (raw[:first] + after.encode() + raw[last:]).decode()
        found.append(Mutant(module, node.lineno, raw[first:last].decode(), after, text))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.before, mutant.after))


def _changes(tree: ast.AST) -> Iterator[tuple[Node, Node]]:
    """Nodes, each with what may stand in its place."""
    for field, value in ast.iter_fields(tree):
        if field in _LEFT_OUT or isinstance(tree, ast.JoinedStr):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST):
                continue
            if isinstance(node, ast.expr | ast.stmt):
                for changed in _changed(node):
                    yield node, changed
            yield from _changes(node)


def _changed(node: Node) -> Iterator[Node]:
    match node:
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                if type(operator) in _SWAPS:
                    other = copy.deepcopy(node)
                    other.ops[number] = _SWAPS[type(operator)]()  # type: ignore[call-overload]
                    yield other
        case ast.BoolOp() | ast.BinOp() if type(node.op) in _SWAPS:
            if not _is_type(node):
                swapped = copy.deepcopy(node)
                swapped.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]
                yield swapped
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield ast.Name(_NAMES[name])
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _is_type(node: ast.expr) -> bool:
    """Of `A | None` and `A | B`: types, which nothing looks at while the program runs."""
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return _is_type(node.left) or _is_type(node.right)
        case ast.Name(id=name):
            return name in _TYPES or (name[:1].isupper() and not name.isupper())
        case ast.Constant(value=None):
            return True
    return False


def path_of(module: str) -> Path:
    """Below the root of the source tree."""
    return Path("src", *module.split(".")).with_suffix(".py")


def chosen(count: int, seed: int, root: Path = ROOT) -> list[Mutant]:
    """That many mutants, as many of each module as of the others, give or take one."""
    draw = random.Random(seed)
    of_each = {name: mutants(name, (root / path_of(name)).read_text()) for name in MODULES}
    order = list(of_each)
    draw.shuffle(order)
    for module in sorted(of_each):
        draw.shuffle(of_each[module])
    turns = max(len(all_of_one) for all_of_one in of_each.values())
    found = [
        of_each[module][turn] for turn in range(turns) for module in order
        if turn < len(of_each[module])
    ]  # fmt: skip
    return found[:count]


class Copy:
    """A copy of `src` in which one module at a time has a mutant."""

    def __init__(self, directory: Path, root: Path = ROOT) -> None:
        self._root = root
        self._copy = directory
        shutil.copytree(root / "src", directory / "src", ignore=_no_bytecode)
        imported = self._python("-c", "import nrtctl; print(nrtctl.__file__)", seconds=60)
        assert imported.stdout.startswith(str(directory)), "the tests would import another nrtctl"

    def kills(self, mutant: Mutant, tests: Sequence[str], seconds: float) -> str | None:
        """As `fails`; None as well, and a line about it, where the test that fails with the mutant
        does not pass without it either."""
        why = self.fails(mutant, tests, seconds)
        if why is not None and why.startswith(("FAILED ", "ERROR ")):
            test = why.partition(" ")[2].partition(" - ")[0]
            whole = replace(mutant, text=(self._copy / path_of(mutant.module)).read_text())
            if self.fails(whole, [test], seconds) is not None:
                print(f"no proof: {test} fails without a mutant, too", flush=True)
                return None
        return why

    def fails(self, mutant: Mutant, tests: Sequence[str], seconds: float) -> str | None:
        """Why the tests fail with the mutant: the first of them, or a word; None: they pass."""
        path = self._copy / path_of(mutant.module)
        whole = path.read_text()
        path.write_text(mutant.text)
        try:
            done = self._python(
                "-m", "pytest", *tests, "-x", "-q", "-n0", "-p", "no:cacheprovider",
                "-m", "not long", seconds=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"not done after {seconds:.0f} s"
        finally:
            path.write_text(whole)
            shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
            shutil.rmtree(self._copy / "hypothesis", ignore_errors=True)
        if done.returncode == 0:
            return None
        words = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return words[0] if words else f"pytest ended with {done.returncode}"

    def _python(self, *words: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self._root,
            env=os.environ
            | {
                "PYTHONPATH": str(self._copy / "src"),
                # Two runs at once, or another one's load, must not look like a mutant that hangs.
                "UNIT_TEST_SECONDS": str(MAX_TEST_SECONDS),
                # An example that fails on one mutant must not be tried first on the next.
                "HYPOTHESIS_STORAGE_DIRECTORY": str(self._copy / "hypothesis"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )


def _no_bytecode(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


def unit_tests_of(module: str, quick: bool) -> list[list[str]]:
    """What is run, one after the other, until something fails."""
    file, *areas = (f"{UNIT}/{name}" for name in MODULES[module])
    return [[file], areas] if quick else [[file], areas, [UNIT]]


def run(count: int, seed: int, minutes: float, quick: bool) -> None:
    """Prints a line for each mutant, and at the end how many were killed."""
    began = time.monotonic()
    tried: dict[str, list[bool]] = {}
    survivors = []
    with tempfile.TemporaryDirectory(prefix="nrtctl-mutants-") as directory:
        copied = Copy(Path(directory))
        for mutant in chosen(count, seed):
            if time.monotonic() - began > minutes * 60:
                print(f"stopped after {minutes:g} minutes")
                break
            why = None
            for tests in unit_tests_of(mutant.module, quick):
                why = why or copied.kills(mutant, tests, MAX_SECONDS)
            tried.setdefault(mutant.module, []).append(why is not None)
            if why is None:
                survivors.append(mutant)
            print(
                f"{'killed  ' if why else 'SURVIVED'}  {mutant}  {why or ''}".rstrip(), flush=True
            )
    for module, killed in sorted(tried.items()):
        print(f"{sum(killed)} of {len(killed)}  {module}")
    total = [each for killed in tried.values() for each in killed]
    print(f"{sum(total)} of {len(total)} mutants were killed (seed {seed})")
    for mutant in survivors:
        print(f"survived: {mutant}")


def main() -> None:
    options = argparse.ArgumentParser(description="Mutants of the pure core.")
    options.add_argument("--count", type=int, default=51)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--minutes", type=float, default=120, help="begin no mutant after that")
    options.add_argument("--quick", action="store_true", help="the tests of the area alone")
    given = options.parse_args()
    run(given.count, given.seed, given.minutes, given.quick)


if __name__ == "__main__":
    main()
