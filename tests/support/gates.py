"""Marks that say on which Python, or on which loop, a test holds."""

import os
import platform
import sys

import pytest

# AddressSanitizer (`make sanitize`) brings a heap of its own, and takes most of the address space.
_sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
own_heap = pytest.mark.skipif(_sanitized, reason="about memory as it is without AddressSanitizer")
glibc_heap = pytest.mark.skipif(
    _sanitized or platform.libc_ver()[0] != "glibc", reason="glibc gives large blocks maps of their own"
)


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
