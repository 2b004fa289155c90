"""A process that compacts partitions, so that the broker goes on answering meanwhile.

It is given jobs as JSON on standard input, and writes for each a line of JSON with what was made of
it. It changes nothing that is there: the broker puts the new files in place. Started by
`broker.compacting`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from nrtctl.local.broker.log.cleaned import Job
from nrtctl.local.broker.log.compaction import Damaged, compact
from nrtctl.local.broker.wire.errors import Refused


def main() -> None:
    os.nice(10)
    for given in json.load(sys.stdin):
        job = Job(**given)
        answer: dict[str, object] = {"directory": job.directory}
        try:
            answer |= asdict(compact(job))
        except (Damaged, Refused, ValueError) as error:
            answer["error"] = str(error)
        except OSError as error:
            answer["error"] = f"{error.filename or job.directory}: {error.strerror}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
