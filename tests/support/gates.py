"""Marks that say on which Python, or on which loop, a test holds."""

import sys

import pytest


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
