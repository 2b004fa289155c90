"""A multipart body: parameters, and data for the statement as temporary tables. Used by `app`.

A part with a file name is a table of the part's name; `NAME_structure` or `NAME_types`, and
`NAME_format`, stand in the URL or in other parts. Source:
https://clickhouse.com/docs/engines/table-engines/special/external-data
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from nrtctl.local.front.outward import Refused
from nrtctl.local.front.statement import (
    BadRequest,
    ExternalTable,
    identifier,
    quoted,
    read_shape,
)

MOST_FILES = 100
MOST_FIELDS = 1000
MOST_FIELD_BYTES = 2**20
_OF_TABLES = ("_structure", "_types", "_format")


@dataclass(slots=True)
class Form:
    """Attributes: fields: parameters, as in a URL; files: name of a table to its data."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, IO[bytes]] = field(default_factory=dict)

    def parameters(self, query: Mapping[str, str]) -> dict[str, str]:
        """Those of the URL and of the parts, but for what describes the tables."""
        own = {f"{name}{suffix}" for name in self.files for suffix in _OF_TABLES}
        return {name: value for name, value in {**self.fields, **query}.items() if name not in own}

    def tables(self, query: Mapping[str, str], refused: Refused) -> list[ExternalTable]:
        """Raises BadRequest."""
        given = {**self.fields, **query}
        return [_table(name, file, given, refused) for name, file in self.files.items()]

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def _table(name: str, file: IO[bytes], given: Mapping[str, str], refused: Refused) -> ExternalTable:
    structure = given.get(f"{name}_structure", "")
    if types := given.get(f"{name}_types", ""):
        structure = ", ".join(f"_{n} {kind}" for n, kind in enumerate(_split(types), 1))
    if not structure:
        raise BadRequest(
            f"the part {name!r} is data for a table: give its columns with {name}_structure or "
            f"{name}_types"
        )
    output = given.get(f"{name}_format", "TabSeparated")
    if output.lower() == "values":
        raise BadRequest(f"{name}_format=Values: it may hold expressions; use another format")
    making = f"CREATE TEMPORARY TABLE {identifier(name)} ({structure})".encode()
    if read_shape(making, refused).word != "CREATE" or b";" in making:
        raise BadRequest(f"{name}_structure is not a list of columns")
    source = quoted(f"/dev/fd/{file.fileno()}")
    filling = (
        f"INSERT INTO {identifier(name)} FROM INFILE {source} COMPRESSION 'none' "
        f"FORMAT {identifier(output)}"
    )
    return ExternalTable(name, making, filling.encode())


def _split(types: str) -> list[str]:
    """At the commas outside of parentheses."""
    found, depth = [""], 0
    for char in types:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return found


class _Parser(MultiPartParser):
    """Knows whether the last boundary came."""

    ended = False

    def on_end(self) -> None:
        self.ended = True


async def read_form(headers: Headers, pieces: AsyncGenerator[bytes, None]) -> Form:
    """Read a whole body; close what it gives. Raises BadRequest, and what `pieces` does."""
    parser = _Parser(
        headers,
        pieces,
        max_files=MOST_FILES,
        max_fields=MOST_FIELDS,
        max_part_size=MOST_FIELD_BYTES,
    )
    try:
        parts = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        raise BadRequest(f"the multipart body: {getattr(error, 'message', error)}") from error
    form = Form()
    for name, part in parts.multi_items():
        if isinstance(part, UploadFile):
            file: Any = part.file
            if name in form.files:
                file.close()
                form.close()
                raise BadRequest(f"there are two parts of data for a table {name!r}")
            file.rollover()
            form.files[name] = file
        else:
            form.fields[name] = part
    if not parser.ended:
        form.close()
        raise BadRequest("the multipart body is cut off")
    return form
