"""The file in which `set_aside` tells what was not loaded. Imports nothing."""

TOLD = "set-aside.json"
"""In the front's data directory: {"tables": [{"name", "why", "kept"}], "parts": [path]}."""

REPLACED = "another one with this name was created since then"
"""Why a definition that is set aside is not tried again."""
