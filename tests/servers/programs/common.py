"""What every program does: read where the servers are, run on the loop in question, and make sure that it does."""

import asyncio
import contextlib
import faulthandler
import json
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ferroloop

FACTORIES = {"asyncio": asyncio.SelectorEventLoop, "ferroloop": ferroloop.new_event_loop}


def run(program: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> None:
    """Run `program(places)` on the loop that the command line names; whatever it reports as unhandled is a failure."""
    faulthandler.enable()
    places = json.loads(Path(sys.argv[2]).read_text())
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        check_loop(type(asyncio.get_running_loop()))
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        await program(places)

    with asyncio.Runner(loop_factory=FACTORIES[wanted()]) as runner:
        runner.run(main())
    assert reports == []


def wanted() -> str:
    """The name of the loop in question."""
    return sys.argv[1]


def check_loop(kind: type) -> None:
    """Raise AssertionError unless this is the type of loop that was asked for."""
    assert kind.__module__.partition(".")[0] == wanted(), kind


def client_tls(places: dict[str, Any], certificate: bool = False) -> ssl.SSLContext:
    """A client that verifies the servers, and shows a certificate of its own if asked to."""
    keys = Path(places["keys"])
    context = ssl.create_default_context(cafile=keys / "ca.pem")
    if certificate:
        context.load_cert_chain(keys / "client.pem", keys / "client.key")
    return context


def server_tls(places: dict[str, Any]) -> ssl.SSLContext:
    """A server called localhost."""
    keys = Path(places["keys"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys / "ca.pem")
    context.load_cert_chain(keys / "server.pem", keys / "server.key")
    return context


class Raised:
    """What `raises` caught."""

    error: Any = None


@contextlib.contextmanager
def raises(*kinds: type[BaseException]) -> Iterator[Raised]:
    """Expect one of these exceptions; it is there to be looked at afterwards."""
    raised = Raised()
    try:
        yield raised
    except kinds as error:
        raised.error = error
        return
    raise AssertionError(f"none of {kinds} was raised")
