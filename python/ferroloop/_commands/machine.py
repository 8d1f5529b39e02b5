"""The interpreter, the kernel, and the limits that a busy server meets first."""

import os
import platform
import resource
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .. import _ferroloop
from .._compat import has_gil
from .finding import Finding, Mark

try:
    import ssl
except ImportError:
    ssl = None  # type: ignore[assignment]

# A connection takes one descriptor; this is what Linux distributions give to a login by default.
_FEW_DESCRIPTORS = 1024
_BACKLOG = Path("/proc/sys/net/core/somaxconn")


def here() -> Iterator[Finding]:
    """Versions, and which of the kernel's ways ferroloop takes."""
    system = platform.uname()
    yield Finding(f"ferroloop {_ferroloop.__version__}, {_ferroloop.__file__}")
    yield Finding(f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        yield _gil()
    yield Finding(f"{system.system} {system.release} {system.machine}, {' '.join(platform.libc_ver())}".rstrip(", "))
    if ssl is None:
        yield Finding("no TLS: this Python was built without OpenSSL", Mark.NOTE)
    else:
        yield Finding(f"TLS by {ssl.OPENSSL_VERSION}, through the ssl module")
    yield Finding(f"poller: {_ferroloop.BACKEND}")
    if _ferroloop.can_use_pidfd():
        yield Finding("child processes: a pidfd each, no SIGCHLD handler and no thread")
    else:
        yield Finding("child processes: a thread each, for this kernel or sandbox has no pidfd_open", Mark.NOTE)


def limits() -> Iterator[Finding]:
    """Descriptors, the accept queue, and processors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"open files (ulimit -n): {_limit(soft)}, at most {_limit(hard)}"
    if soft != resource.RLIM_INFINITY and soft <= _FEW_DESCRIPTORS:
        how = f"raise it with `ulimit -n {_limit(hard)}`" if soft != hard else "have root raise it (limits.conf(5))"
        yield Finding(f"{text}; each connection takes one: {how}", Mark.NOTE)
    else:
        yield Finding(text, Mark.OK)
    if _BACKLOG.exists():
        backlog = _BACKLOG.read_text().strip()
        yield Finding(f"waiting connections per listener (net.core.somaxconn): {backlog}")
    several = "a process" if has_gil() else "a thread or a process"
    yield Finding(f"processors for this process: {processors()}; a loop uses one, run {several} for each")


def _gil() -> Finding:
    if has_gil():
        return Finding("the GIL is on, which PYTHON_GIL=0 or -X gil=0 would change", Mark.NOTE)
    return Finding("the GIL is off: loops in several threads run at once")


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)
