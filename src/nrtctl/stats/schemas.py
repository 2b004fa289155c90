"""The JSON Schemas that are shipped: of a snapshot, and of metrics.json.

`python -m nrtctl.stats.schemas` writes them anew into `config/templates/`; a test holds them to
the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nrtctl.stats.metrics_file import MetricsFile
from nrtctl.stats.snapshot import Snapshot

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATES = Path(__file__).parents[1] / "config" / "templates"


def snapshot_schema() -> dict[str, Any]:
    return {"$schema": DRAFT, **TypeAdapter(Snapshot).json_schema(mode="serialization")}


def metrics_schema() -> dict[str, Any]:
    return {"$schema": DRAFT, **MetricsFile.model_json_schema()}


def shipped() -> dict[str, str]:
    """File name to text."""
    made = {
        "snapshot.schema.json": snapshot_schema(),
        "metrics.schema.json": metrics_schema(),
    }
    return {
        name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in made.items()
    }


if __name__ == "__main__":
    for name, text in shipped().items():
        (TEMPLATES / name).write_text(text, encoding="utf-8")
