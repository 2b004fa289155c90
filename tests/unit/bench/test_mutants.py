"""What makes the mutants: which there are, which are chosen, and that tests run against them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.mutants import MODULES, ROOT, Copy, Mutant, chosen, mutants, path_of


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants("m", source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", [("a < b", "(a <= b)")]),
        ("x = a <= b < c", [("a <= b < c", "(a < b < c)"), ("a <= b < c", "(a <= b <= c)")]),
        ("x = a and b", [("a and b", "(a or b)")]),
        ("x = not a", [("not a", "a")]),
        ("x = a in b", [("a in b", "(a not in b)")]),
        ("x = a is None", [("a is None", "(a is not None)")]),
        ("x = f(a + 1)", [("1", "2"), ("a + 1", "(a - 1)")]),
        ("x = True", [("True", "False")]),
        ("x = b if a else c", [("b if a else c", "(c if a else b)")]),
        ("x = max(a)", [("max", "min")]),
        ("f(a)", [("f(a)", "pass")]),
        ("a += b", [("a += b", "pass")]),
        ("while a:\n    break", [("break", "continue")]),
        ("x: int | None = f('text')", []),
        ("def f(a: int | None = None) -> int | str:\n    return isinstance(a, One | Two)", []),
        ("@f(3)\nclass A(B, c=d): ...", []),
        ("x = f'{a < b}'", []),
    ],
)  # fmt: skip
def test_kinds(source: str, expected: list[tuple[str, str]]) -> None:
    assert changes(source) == expected


def test_only_that_piece_of_the_text_differs() -> None:
    source = "# ünïcode\nx = 'é' if a < b else c  # kept\n"
    texts = [mutant.text for mutant in mutants("m", source)]
    assert texts == [
        "# ünïcode\nx = (c if a < b else 'é')  # kept\n",
        "# ünïcode\nx = 'é' if (a <= b) else c  # kept\n",
    ]


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("module", MODULES)
def test_each_module_and_its_tests_are_there(module: str, every: int) -> None:
    source = (ROOT / path_of(module)).read_text()
    made = mutants(module, source)
    assert len(made) > 5
    for mutant in made[::every]:
        assert mutant.text != source
        ast.parse(mutant.text)
    file, *areas = (ROOT / "tests" / "unit" / name for name in MODULES[module])
    assert file.is_file()
    assert file.parent in areas
    assert all(list(area.glob("test_*.py")) for area in areas)


def test_the_seed_chooses_as_many_of_each_module() -> None:
    some = chosen(2 * len(MODULES), 1)
    assert some == chosen(2 * len(MODULES), 1)
    assert some != chosen(2 * len(MODULES), 2)
    assert sorted(mutant.module for mutant in some) == sorted([*MODULES, *MODULES])


@pytest.mark.parametrize("spared", [False, pytest.param(True, marks=pytest.mark.long)])
def test_tests_run_against_the_mutant(tmp_path: Path, spared: bool) -> None:
    module = "nrtctl.stats.rates"
    copied = Copy(tmp_path)
    source = (ROOT / path_of(module)).read_text()
    test = "tests/unit/stats/test_rates.py::test_a_counter_that_fell_did_not_grow"
    if spared:
        assert copied.kills(Mutant(module, 1, "", "", source), [test], 300) is None
    else:
        broken = Mutant(module, 1, "", "", source.replace("max(0.0", "max(1.0"))
        assert (copied.kills(broken, [test], 300) or "").startswith(f"FAILED {test}")
    assert (tmp_path / path_of(module)).read_text() == source
