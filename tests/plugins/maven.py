"""Java libraries from Maven, fetched once into the tests' cache directory."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path

from tests.plugins.apache_kafka import cache_directory


def libraries(artifact: str, *more: str) -> Path:
    """The directory of the jars that each GROUP:NAME:VERSION needs, itself among them.

    Raises OSError or SubprocessError: Maven is not there, or cannot have it.
    """
    name = artifact.split(":")[1]
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{each}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, each, version in (one.split(":") for one in (artifact, *more))
    )
    pom = (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>nrtctl</groupId><artifactId>{name}-jars</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    home = cache_directory() / f"{name}-{hashlib.sha256(pom.encode()).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come at once
        complete = home / "complete"
        if not complete.exists():
            (home / "pom.xml").write_text(pom)
            subprocess.run(
                [
                    *("mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies"),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={home / 'libs'}"),
                ],
                cwd=home,
                check=True,
                capture_output=True,
                text=True,
                timeout=550,
            )
            complete.touch()
    return home / "libs"
