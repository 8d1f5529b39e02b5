"""The fresh process of a workload in a loop: LOOP WORKLOAD SECONDS [PORT]; prints what was measured as JSON."""

import json
import sys
from contextlib import closing

from in_loop import InLoop
from peers import new_event_loop
from workloads import ALL
from workloads.precision import ShortSleep


def main(peer: str, name: str, seconds: str, *port: str) -> None:
    """Measure one workload on one loop."""
    workload = next(workload for workload in ALL if workload.name == name)
    assert isinstance(workload, InLoop | ShortSleep)
    with closing(new_event_loop(peer)) as loop:
        print(json.dumps(workload.measure(loop, float(seconds), *map(int, port))))


main(*sys.argv[1:])
