"""SQL for objects that are kept as they come: in a JSON column, or as text. Pure text.

Called by `casts` and `schema.columns`.
"""

from __future__ import annotations

import json
import re

from nrtctl.pipeline.fields import Path
from nrtctl.pipeline.texts import literal

_STRING = r'"(?:[^"\\\\]|\\\\.)*"'
_TOKENS = rf"{_STRING}|[{{}}\\[\\]]|[^\",:{{}}\\[\\]]+"


def unchanged(text: str, accurate: str) -> str:
    """SQL: the object `text` as Nullable(JSON); NULL where ClickHouse would change it.

    What it writes out again has the same parts in another order, but for keys that are null. A key
    that is both a value and an object is there twice.
    """
    paths = f"JSONAllPaths(assumeNotNull({accurate}))"
    back = f"JSONExtractRaw(toJSONString(assumeNotNull({accurate})))"
    steps = "splitByChar('.', _p)"
    parents = (
        f"arrayFlatten(arrayMap(_p -> arrayMap(_n -> arrayStringConcat(arraySlice({steps}, 1, _n), "
        f"'.'), range(1, length({steps}))), {paths}))"
    )
    same = f"{_parts(back)} = {_parts(f'assumeNotNull({text})')} AND NOT hasAny({paths}, {parents})"
    return f"if(isNotNull({accurate}) AND {same}, {accurate}, NULL)"


def _parts(text: str) -> str:
    """SQL: the names, values and brackets of JSON text, without keys that are null."""
    given = f"replaceRegexpAll({text}, '{_STRING}:null', '')"
    return f"arraySort(extractAll({given}, '{_TOKENS}'))"


_PARTS = r'"(?:[^"\\]|\\.)*"|[{\[]|[}\]]|[^"{}\[\]]+'
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_ .@$-]+")


def as_written(text: str, path: Path) -> str:
    """SQL: the array or object at `path` of `_message` byte for byte, of which `text` is the JSON
    text in the engine's words: without spaces, numbers in their shortest form.

    Looked for by its last key, in ways that are dearer one after the other. What is found is the
    same value. Where nothing is, as the key is written with escapes, `text` itself.
    """
    keys = [step for step in path if isinstance(step, str)]
    if not keys or not isinstance(path[-1], str):
        return text
    there = f"assumeNotNull({text})"
    cases = [f"isNull({text}), NULL", f"position(_message, {there}) > 0, {text}"]
    if _PLAIN_KEY.fullmatch(keys[-1]):
        first = f"simpleJSONExtractRaw(_message, {literal(keys[-1])})"
        raw = f"trim(BOTH ' \\t\\n\\r' FROM {first})"
        cases.append(f"JSONExtractRaw({raw}) = {there}, {raw}")
    found = f"arrayFirst(_r -> JSONExtractRaw(_r) = {there}, {_candidates(keys[-1])})"
    return f"multiIf({', '.join(cases)}, notEmpty({found}), {found}, {text})"


def _candidates(key: str) -> str:
    """SQL: the text of each array and object of `_message` that has this key."""
    parts = f"extractAll(_message, {literal(_PARTS)})"
    depths = f"arrayCumSum(_t -> multiIf(_t IN ('{{', '['), 1, _t IN ('}}', ']'), -1, 0), {parts})"
    plain, escaped = (json.dumps(key, ensure_ascii=ascii) for ascii in (False, True))
    capitals = re.sub(r"\\u[0-9a-f]{4}", lambda found: f"\\u{found[0][2:].upper()}", escaped)
    names = ", ".join(map(literal, dict.fromkeys((plain, escaped, capitals))))
    begins = (
        f"arrayFilter((_i, _a, _b, _c) -> _a IN ({names}) AND match(_b, '^\\\\s*:\\\\s*$') "
        f"AND _c IN ('{{', '['), arrayEnumerate({parts}), {parts}, arrayShiftLeft({parts}, 1), "
        f"arrayShiftLeft({parts}, 2))"
    )
    end = f"arrayFirstIndex(_d -> _d < {depths}[_i + 2], arraySlice({depths}, _i + 2))"
    return f"arrayMap(_i -> arrayStringConcat(arraySlice({parts}, _i + 2, {end})), {begins})"
