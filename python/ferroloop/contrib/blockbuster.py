"""For blockbuster, which reports blocking calls in coroutines: what the loop itself may do.

Of asyncio it knows this by the names of files and functions.
"""

from typing import Any

_ALLOWED = [
    # The file of a Unix socket is looked at and removed.
    ("os.stat", "ferroloop/_bind.py", {"remove_stale_file"}),
    ("os.remove", "ferroloop/_bind.py", {"remove_stale_file"}),
    ("os.stat", "ferroloop/_unix.py", {"of", "remove"}),
    ("os.path.samestat", "ferroloop/_unix.py", {"remove"}),
    ("os.unlink", "ferroloop/_unix.py", {"remove"}),
    # subprocess.Popen waits until the child has called execve(2).
    ("os.read", "ferroloop/_spawn.py", {"_spawn"}),
]


def allow(blockbuster: Any) -> None:
    """Let ferroloop's own calls pass in this `blockbuster.BlockBuster`."""
    for call, place, functions in _ALLOWED:
        blockbuster.functions[call].can_block_in(place, functions)
