"""The fresh process of a workload in a loop: LOOP WORKLOAD [PORT]; for each line, a number of seconds, prints what was
measured in that time as JSON.
"""

import json
import sys
from contextlib import closing

from in_loop import InLoop
from peers import new_event_loop
from workloads import ALL
from workloads.precision import ShortSleep


def main(peer: str, name: str, *port: str) -> None:
    """Measure one workload on one loop."""
    workload = next(workload for workload in ALL if workload.name == name)
    assert isinstance(workload, InLoop | ShortSleep)
    with closing(new_event_loop(peer)) as loop:
        for part in workload.measure(loop, map(float, sys.stdin), *map(int, port)):
            print(json.dumps(part), flush=True)


main(*sys.argv[1:])
