"""Marks that say on which Python, or on which loop, a test holds."""

import os
import platform
import sys
import sysconfig

import pytest

# A Python that can do without a GIL (PEP 703).
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

# AddressSanitizer (`make sanitize`) brings a heap of its own, and so do free-threaded builds.
glibc_heap = pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", "") or FREE_THREADED or platform.libc_ver()[0] != "glibc",
    reason="about memory from glibc's heap",
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux's")
direct_tls = pytest.mark.skipif(FREE_THREADED, reason="TLS is the SSLObject's there, always")


def since(*version: int) -> pytest.MarkDecorator:
    """Run from this Python on: the behaviour, or the API, is not older."""
    name = ".".join(map(str, version))
    return pytest.mark.skipif(sys.version_info < version, reason=f"asyncio has this from {name} on")


def before(*version: int) -> pytest.MarkDecorator:
    """Run before this Python: the behaviour ended there."""
    name = ".".join(map(str, version))
    return pytest.mark.skipif(sys.version_info >= version, reason=f"asyncio changed this in {name}")


def ferroloop_only(reason: str, spec: str, when: bool = True) -> pytest.MarkDecorator:
    """No asyncio half, because stock asyncio (of this Python, if `when` says so) is wrong here.

    `reason` names what asyncio does, `spec` the item that rules otherwise.
    """
    return pytest.mark.ferroloop_only(reason=reason, spec=spec, when=when)
