"""The colours of all that is shown, which can be read on black and on white. Used by `cli.tables`.

They are of the 256, of middle lightness; a terminal with fewer is given the nearest.
"""

from __future__ import annotations

GOOD = "color(28)"
WARN = "color(166)"
BAD = "color(160)"
COURSE = "color(31)"
"""Of sparklines, bars and hints."""
