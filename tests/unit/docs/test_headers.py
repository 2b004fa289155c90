"""What a module's first lines say of who uses it is so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nrtctl

ROOT = Path(nrtctl.__file__).parent
USED = r"\b(?:[Cc]alled|[Uu]sed|[Aa]sked|[Ss]tarted) by "
CLAIM = re.compile(USED + r"((?:`(?:nrtctl )?[\w.]+`(?:,? and |, )?)+)")
NAME = re.compile(r"`(?:nrtctl )?([\w.]+)`")
IN_A_TEXT = re.compile(r'"nrtctl\.([\w.]+)"')
HEADER = re.compile(r'"""(.*?)"""', re.DOTALL)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()


@cache
def imports(name: str) -> frozenset[str]:
    """The modules of nrtctl that one imports, anywhere in it, without their first name."""
    text, found = MODULES[name].read_text(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    found |= {f"nrtctl.{each}" for each in IN_A_TEXT.findall(text) if each in MODULES}
    return frozenset(each.removeprefix("nrtctl.") for each in found)


def meant(name: str, by: str) -> list[str]:
    """The modules that a header of `by` can mean: beside it, or from the top."""
    package = by if MODULES[by].name == "__init__.py" else by.rpartition(".")[0]
    near = []
    while True:
        near.append(f"{package}.{name}".lstrip("."))
        if not package:
            break
        package = package.rpartition(".")[0]
    return [each for each in near if each in MODULES]


def within(name: str) -> set[str]:
    return {each for each in MODULES if each == name or each.startswith(f"{name}.")}


def is_command(name: str) -> bool:
    return f"cli.{name}_command" in MODULES


@cache
def reached(module: str) -> frozenset[str]:
    """What a module imports, and what that imports, and so on."""
    found: set[str] = set()
    left = [module]
    while left:
        new = {each for each in imports(left.pop()) if each in MODULES} - found
        found |= new
        left += new
    return frozenset(found)


def claims() -> Iterator[tuple[str, str]]:
    for module, path in MODULES.items():
        header = HEADER.match(path.read_text())
        for claim in CLAIM.findall(re.sub(r"\s+", " ", header[1] if header else "")):
            yield from ((module, each) for each in NAME.findall(claim))


def test_there_are_such_headers() -> None:
    assert len(list(claims())) > 100


@pytest.mark.parametrize(("module", "user"), list(claims()), ids=lambda each: each)
def test_who_is_said_to_use_a_module_imports_it(module: str, user: str) -> None:
    if is_command(user):
        assert within(module) & reached(f"cli.{user}_command")
        return
    name = user.removeprefix("nrtctl.").replace("Client", "client")
    users = meant(name, module) or meant(name.rpartition(".")[0], module)
    assert users, f"{module} names {user}, which is no module"
    parent = module.rpartition(".")[0]
    passed_on = {parent} if parent and module in imports(parent) else set()
    parts = within(module) if MODULES[module].name == "__init__.py" else {module} | passed_on
    asked = {each for one in users for each in within(one)} - parts
    assert any(part in imports(each) for part in parts for each in asked)
