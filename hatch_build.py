"""Compiles src/nrtctl/kafka/native where there is a C compiler. Where there is none, nrtctl is
installed all the same, and does in Python what that code does.

`CC` names the compiler. With `HATCH_BUILD_NO_HOOKS=true` nothing is compiled, and the wheel fits
every platform.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "src/nrtctl/kafka/native"
LIBRARY = "functions.native"
FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")


class CompileNative(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if version == "editable":  # where it is imported from
            self._compile(Path(self.root, SOURCES))
            return
        self._directory = tempfile.mkdtemp()
        made = self._compile(Path(self._directory))
        if made is not None:
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["force_include"][str(made)] = f"nrtctl/kafka/native/{LIBRARY}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_directory"):
            shutil.rmtree(self._directory, ignore_errors=True)

    def _compile(self, into: Path) -> Path | None:
        """None: what is there is not of these sources, and nothing can be made of them."""
        sources = Path(self.root, SOURCES)
        code = sorted(path.name for path in sources.glob("*.[ch]"))
        digest = hashlib.sha256(b"".join((sources / name).read_bytes() for name in code))
        try:
            (into / LIBRARY).unlink(missing_ok=True)
            with tempfile.TemporaryDirectory() as directory:
                made = Path(directory, LIBRARY)
                command = [
                    *_compiler(), *FLAGS, f'-DNRTCTL_SOURCES="{digest.hexdigest()}"',
                    "-o", str(made), *(name for name in code if name.endswith(".c")),
                ]  # fmt: skip
                done = subprocess.run(  # noqa: S603
                    command, cwd=sources, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise OSError(done.stderr[-500:])
                beside = into / f"{os.getpid()}.{LIBRARY}"
                shutil.copy(made, beside)
                beside.replace(into / LIBRARY)
        except OSError as error:
            self.app.display_warning(f"{SOURCES} is not compiled: {error}")
            return None
        return into / LIBRARY


def _compiler() -> list[str]:
    """Raises OSError: there is none that makes what Python can load."""
    if os.name != "posix" or sys.maxsize < 2**32:
        raise OSError("it is made for Linux and macOS, and 64 bits")
    named = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), "")
    if not named:
        raise OSError("there is no C compiler")
    return shlex.split(named)
