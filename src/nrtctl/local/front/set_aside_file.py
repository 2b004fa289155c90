"""The name of the file in which `set_aside` tells what was not loaded. Imports nothing."""

TOLD = "set-aside.json"
"""In the front's data directory: {"tables": [{"name", "why", "kept"}], "parts": [path]}."""
