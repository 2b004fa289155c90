"""Compiles src/nrtctl/kafka/native where there is a C compiler. Where there is none, nrtctl is
installed all the same, and does in Python what that code does.

`CC` names the compiler. With `HATCH_BUILD_NO_HOOKS=true` nothing is compiled, and the wheel fits
every platform.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "src/nrtctl/kafka/native"
LIBRARY = f"{SOURCES}/functions.native"
FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")


class CompileNative(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or not self._compile():
            return
        build_data["artifacts"].append(LIBRARY)
        if version == "standard":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"

    def _compile(self) -> bool:
        library = Path(self.root, LIBRARY)
        library.unlink(missing_ok=True)
        compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), "")
        if os.name != "posix" or not compiler:
            return False
        made = library.with_suffix(f".{os.getpid()}")
        sources = sorted(path.name for path in library.parent.glob("*.c"))
        command = [*shlex.split(compiler), *FLAGS, "-o", str(made), *sources]
        try:
            done = subprocess.run(  # noqa: S603
                command, cwd=library.parent, capture_output=True, text=True, check=False
            )
        except OSError as error:
            self.app.display_warning(f"{SOURCES} is not compiled: {error}")
            return False
        if done.returncode:
            made.unlink(missing_ok=True)
            self.app.display_warning(f"{SOURCES} is not compiled: {done.stderr[-500:]}")
            return False
        made.replace(library)
        return True
