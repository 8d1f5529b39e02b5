"""S13: name resolution and the literal fast path."""

import asyncio
import contextlib
import functools
import importlib
import logging
import re
import socket
import subprocess
import sys
import threading
from asyncio import base_events
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import loops
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import has_ipv6, listener, refusing, scripted

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


def test_getaddrinfo(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.1: the socket module's function of the moment, in another thread."""
    calls: list[tuple[Any, ...]] = []

    def lookup(*args: Any) -> Any:
        calls.append((threading.get_ident() == threading.main_thread().ident, *args))
        return ANSWER

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert run(loop.getaddrinfo("name", 80, family=1, type=2, proto=3, flags=4)) == ANSWER
    assert run(loop.getaddrinfo("name", None)) == ANSWER
    assert calls == [(False, "name", 80, 1, 2, 3, 4), (False, "name", None, 0, 0, 0, 0)]


def test_getaddrinfo_takes_keywords_only(loop: Loop, run: Run) -> None:
    """S13: family and so on are keywords."""
    with pytest.raises(TypeError):
        run(loop.getaddrinfo("name", 80, 1))


def test_getnameinfo(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.1."""
    calls: list[tuple[Any, ...]] = []

    def lookup(*args: Any) -> Any:
        calls.append(args)
        return ("name", "service")

    monkeypatch.setattr(socket, "getnameinfo", lookup)
    assert run(loop.getnameinfo(("127.0.0.1", 80), 3)) == ("name", "service")
    assert run(loop.getnameinfo(("127.0.0.1", 80))) == ("name", "service")
    assert calls == [(("127.0.0.1", 80), 3), (("127.0.0.1", 80), 0)]


def test_lookup_errors(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.1: raised as they are, by connecting too."""

    def lookup(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(socket.gaierror, match="no such name"):
        run(loop.getaddrinfo("name", 80))
    with pytest.raises(socket.gaierror, match="no such name"):
        run(loop.create_connection(asyncio.Protocol, "name", 80))
    with pytest.raises(socket.gaierror, match="no such name"):
        run(loop.create_server(asyncio.Protocol, "name", 80))


@pytest.mark.parametrize(("slow_after", "level"), [(60.0, logging.DEBUG), (0.0, logging.INFO)])
def test_debug_log(
    loop: Loop,
    run: Run,
    logged: LogList,
    monkeypatch: pytest.MonkeyPatch,
    slow_after: float,
    level: int,
) -> None:
    """S13.2: only the nonzero parts; INFO when slow."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: ANSWER)
    loop.set_debug(True)
    loop.slow_callback_duration = slow_after
    run(loop.getaddrinfo("name", 80))
    run(loop.getaddrinfo("name", "http", family=2, type=1, proto=6, flags=8))
    parts = ["name:80", "name:'http', family=2, type=1, proto=6, flags=8"]
    asked = [t for t in logged.texts(logging.DEBUG) if t.startswith("Get address info")]
    assert asked == [f"Get address info {part}" for part in parts]
    got = [t for t in logged.texts(level) if t.startswith("Getting address info")]
    for text, part in zip(got, parts, strict=True):
        start, end = re.escape(f"Getting address info {part}"), re.escape(repr(ANSWER))
        assert re.fullmatch(rf"{start} took \d+\.\d{{3}}ms: {end}", text)


@ferroloop_only("asyncio resolves in the default executor", "S13.1")
def test_lookups_do_not_wait_for_the_default_executor(loop: Loop, run: Run) -> None:
    """S13.1: blocking work of the application does not look like a DNS timeout."""
    loop.set_default_executor(ThreadPoolExecutor(1))
    release = threading.Event()

    async def main() -> None:
        work = loop.run_in_executor(None, release.wait, 10)
        assert await asyncio.wait_for(loop.getaddrinfo("localhost", 80), 5)
        assert not work.done()
        release.set()
        await work

    run(main())


@ferroloop_only("asyncio's lookups end with the default executor", "S13.1")
def test_lookups_after_the_executor_shutdown(loop: Loop, run: Run) -> None:
    """S13.1."""
    run(loop.shutdown_default_executor())
    assert run(loop.getaddrinfo("localhost", 80))


def test_cancelled_lookup(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.1, S12.4: the caller is free at once; the late answer is dropped."""
    release = threading.Event()
    done = threading.Event()

    def lookup(*args: Any) -> Any:
        release.wait(5)
        done.set()
        return ANSWER

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.getaddrinfo("name", 80), 0.02)
        release.set()
        while not done.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)

    run(main())


def lookups(loop_class: type, method: str, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
    """The lookups made while create_connection or create_server fails or succeeds."""
    loop = scripted(loop_class)
    try:
        with contextlib.suppress(OSError):
            result = loop.run_until_complete(getattr(loop, method)(asyncio.Protocol, *args, **kwargs))
            (result[0] if isinstance(result, tuple) else result).close()
            loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return loop.asked


LITERALS: list[tuple[Any, Any, int]] = [
    ("127.0.0.1", 1, 0),
    ("127.0.0.1", "1", 0),
    ("127.0.0.1", b"1", 0),
    ("127.0.0.1", 1.0, 0),
    ("127.0.0.1", Decimal(1), 0),
    (b"127.0.0.1", 1, 0),
    ("127.0.0.1", 1, socket.AF_INET),
    ("::1", 1, 0),
    ("::1", 1, socket.AF_INET6),
    ("::ffff:127.0.0.1", 1, 0),
]
DECLINED: list[tuple[Any, Any, int]] = [
    ("localhost", 1, 0),
    ("127.0.0.1", "http", 0),
    ("127.0.0.1", 1, socket.AF_INET6),
    ("::1", 1, socket.AF_INET),
    ("::1%lo", 1, 0),
    ("127.1", 1, 0),
    ("127.0.0.01", 1, 0),
    ("", 1, 0),
]


@pytest.mark.parametrize(("host", "port", "family"), LITERALS)
def test_literals_need_no_lookup(loop_class: type, host: Any, port: Any, family: int) -> None:
    """S13.3, S13.5, S13.7."""
    assert lookups(loop_class, "create_connection", host, port, family=family) == []


@pytest.mark.parametrize(("host", "port", "family"), DECLINED)
def test_what_is_no_literal_is_looked_up(loop_class: type, host: Any, port: Any, family: int) -> None:
    """S13.4."""
    asked = lookups(loop_class, "create_connection", host, port, family=family)
    assert asked == [(host, port)]


@pytest.mark.parametrize(("proto", "asked"), [(0, 0), (6, 0), (17, 0), (132, 1)])
def test_other_protocols_are_looked_up(loop_class: type, proto: int, asked: int) -> None:
    """S13.4, S13.6: only TCP and UDP have a fast path."""
    with refusing() as (host, port):
        found = lookups(loop_class, "create_connection", host, port, proto=proto)
    assert len(found) == asked


@pytest.mark.parametrize("port", [0, None, "", b""])
def test_server_literals(loop_class: type, port: Any) -> None:
    """S13.3, S13.5: no port is port 0; no host is looked up."""
    assert lookups(loop_class, "create_server", "127.0.0.1", port) == []
    assert lookups(loop_class, "create_server", None, 0) == [(None, 0)]


def test_local_address_literals(loop_class: type) -> None:
    """S13.3."""
    with refusing() as (host, port):
        local = ("127.0.0.1", 0)
        assert lookups(loop_class, "create_connection", host, port, local_addr=local) == []


@pytest.mark.parametrize("host", ["127.0.0.1\0.example", "localhost\0", b"127.0.0.1\0"])
def test_no_host_ends_at_a_null(loop: Loop, run: Run, host: Any) -> None:
    """S13.3: getaddrinfo(3) would not see what follows it, and connect to somebody else."""
    for call in (
        functools.partial(loop.create_connection, asyncio.Protocol, host, 1),
        functools.partial(loop.create_server, asyncio.Protocol, [host], 0),
    ):
        with pytest.raises(ValueError, match=r"^embedded null character$"):
            run(call())


def test_literals_start_no_thread(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.3."""

    def start(thread: threading.Thread) -> None:
        raise AssertionError(thread.name)

    monkeypatch.setattr(threading.Thread, "start", start)
    asked = native_lookups(loop) if hasattr(loop, "_look_up") else []
    with listener() as server:

        async def main() -> None:
            transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
            transport.abort()
            await asyncio.sleep(0)

        run(main())
    assert not asked


def test_public_getaddrinfo_always_looks_up(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.9: with the function of the moment."""
    assert run(loop.getaddrinfo("10.0.0.1", 1)) != ANSWER
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: ANSWER)
    assert run(loop.getaddrinfo("10.0.0.1", 1)) == ANSWER


@pytest.mark.parametrize("kind", [0, socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("flags", [0, socket.AI_NUMERICHOST, socket.AI_CANONNAME, socket.AI_ADDRCONFIG])
@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 80), ("::1", "80"), (b"10.0.0.1", None), ("127.1", 80)])
def test_public_getaddrinfo_of_literals(loop: Loop, run: Run, host: Any, port: Any, kind: int, flags: int) -> None:
    """S13.1, S13.9: the socket module's answer, enum members included, each time in a list of its own."""
    expected = repr(socket.getaddrinfo(host, port, type=kind, flags=flags))
    for _ in range(3):
        infos = run(loop.getaddrinfo(host, port, type=kind, flags=flags))
        assert repr(infos) == expected
        infos.clear()


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 80.0},
        {"port": []},
        {"host": bytearray(b"127.0.0.1")},
        {"host": "127.0.0.1\udc80"},
        {"host": b"\xff"},
        {"family": "x"},
        {"family": 1 << 40},
        {"family": 0.0},
        {"type": 0.0},
        {"proto": 0.0},
        {"flags": 0.0},
        {"family": socket.AF_INET6},
        {"flags": "x"},
        {"proto": 99},
    ],
)
def test_wrong_arguments_beside_a_literal(loop: Loop, run: Run, wrong: dict[str, Any]) -> None:
    """S13.1: the error of socket.getaddrinfo, also after a right one of the same literal."""
    right = {"host": "127.0.0.1", "port": 80}
    run(loop.getaddrinfo(**right))
    with pytest.raises(Exception) as expected:  # noqa: PT011  # whatever it is
        socket.getaddrinfo(**{**right, **wrong})
    with pytest.raises(expected.type) as raised:
        run(loop.getaddrinfo(**{**right, **wrong}))
    assert str(raised.value) == str(expected.value)


def test_getaddrinfo_of_a_closed_loop(loop_class: type) -> None:
    """S2, S13.1: also of a literal that has been asked for."""
    loop = loop_class()
    loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80))
    loop.close()
    lookup = loop.getaddrinfo("127.0.0.1", 80)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        lookup.send(None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", b"localhost"])
def test_lookups_are_audited(loop_class: type, host: Any) -> None:
    """S13.1: each of them, once, with the arguments of socket.getaddrinfo."""
    program = f"""
import sys
from {loop_class.__module__} import {loop_class.__name__} as Loop
heard = []
sys.addaudithook(lambda event, args: heard.append(args) if event == "socket.getaddrinfo" else None)
loop = Loop()
for _ in range(3):
    loop.run_until_complete(loop.getaddrinfo({host!r}, 80, type=1))
loop.close()
assert heard == [({host!r}, 80, 0, 1, 0)] * 3, heard
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def native_lookups(loop: Loop) -> list[Any]:
    """The hosts and ports that native threads are asked for from now on."""
    asked: list[Any] = []
    look_up = loop._look_up

    def note(future: Any, *arguments: Any) -> Any:
        asked.append(arguments[:2])
        return look_up(future, *arguments)

    loop._look_up = note
    return asked


@ferroloop_only("asyncio looks a literal up in a thread", "S13.9 as ruled in docs/differences.md")
def test_literals_are_answered_without_a_thread(loop: Loop, run: Run) -> None:
    """S13.9: what is remembered of them is bounded."""
    asked = native_lookups(loop)
    for port in range(3000):
        assert run(loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM))[0][4] == ("127.0.0.1", port)
    assert not asked
    assert not loop._own_threads
    assert len(importlib.import_module("ferroloop._resolve")._answers) <= 1024


@pytest.mark.parametrize(("port", "in_thread"), [(80, False), (None, False), ("80", True), (" 80 ", True)])
@ferroloop_only("asyncio looks a literal up in a thread", "S13.9 as ruled in docs/differences.md")
def test_ports_that_may_be_services_are_looked_up(loop: Loop, run: Run, port: Any, in_thread: bool) -> None:
    """S13.9: in a thread, whatever they look like."""
    asked = native_lookups(loop)
    with contextlib.suppress(OSError):
        run(loop.getaddrinfo("127.0.0.1", port))
    assert bool(asked) == in_thread


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback")
def test_ipv6_literal(loop: Loop, run: Run) -> None:
    """S13.7: connects, to a four-tuple."""
    with listener("::1") as server:

        async def main() -> Any:
            address = server.getsockname()[:2]
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
            peer = transport.get_extra_info("peername")
            transport.abort()
            await asyncio.sleep(0)
            return peer

        assert run(main()) == server.getsockname()


HOSTS = st.one_of(
    st.none(),
    st.ip_addresses().map(str),
    st.ip_addresses().map(lambda ip: str(ip).encode()),
    st.text("0123456789abcdef.:%x", max_size=20),
    st.tuples(st.ip_addresses(v=6), st.sampled_from(["%1", "%lo"])).map(lambda p: f"{p[0]}{p[1]}"),
)
PORTS = st.one_of(
    st.none(),
    st.integers(0, 65535),
    st.integers(0, 65535).map(str),
    st.integers(0, 65535).map(lambda n: str(n).encode()),
    st.floats(0, 65535),
    st.decimals(0, 65535),
    st.sampled_from([[], "", b"", "http", b"http", " 80 ", "8_0", "-1", "\u0663"]),
)


@pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")
@given(
    host=HOSTS,
    port=PORTS,
    family=st.sampled_from([socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]),
    kind=st.sampled_from([socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 0]),
    proto=st.sampled_from([0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP]),
    flow=st.integers(0, 1000),
    scope=st.integers(0, 1000),
)
@example("::1", 80, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, 7, 3)
@example("1.2.3.4", "80", socket.AF_UNSPEC, socket.SOCK_DGRAM, socket.IPPROTO_TCP, 7, 3)
def test_literal_address(host: Any, port: Any, family: int, kind: int, proto: int, flow: int, scope: int) -> None:
    """S13.4, S13.5, S13.6, S13.7, S13.8: the answer, or none, is asyncio's."""
    literal = importlib.import_module("ferroloop._ferroloop").literal_address
    expected = base_events._ipaddr_info(host, port, family, kind, proto, flow, scope)
    assert literal(host, port, family, kind, proto, flow, scope) == expected
