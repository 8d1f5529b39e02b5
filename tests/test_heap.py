"""Where the C library puts the large buffers of connections (docs/performance.md)."""

from collections.abc import Callable

from support import loops
from support.gates import glibc_heap
from support.scripts import Script, environment

IS_IN_HEAP = """
    import ctypes

    new_event_loop().close()
    buffer = bytearray(256 * 1024)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    [heap] = [line.split()[0] for line in open("/proc/self/maps") if "[heap]" in line]
    start, end = (int(bound, 16) for bound in heap.split("-"))
    print(start <= address < end)
"""


@glibc_heap
def test_large_buffers_come_from_the_heap(loop_kind: str, run_script: Callable[..., Script]) -> None:
    """A buffer that is never freed is where one is that comes after a freed one; not so beside asyncio's loop."""
    expected = loop_kind == loops.SUBJECT
    assert run_script(IS_IN_HEAP).out == f"{expected}\n"


@glibc_heap
def test_the_users_setting_stands(loop_kind: str, run_script: Callable[..., Script]) -> None:
    """Who has told the C library where large blocks are to go is not overruled."""
    tuned = environment(GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072")
    assert run_script(IS_IN_HEAP, env=tuned).out == "False\n"
