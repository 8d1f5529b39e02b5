"""`python -m ferroloop doctor`, `bench`, `dump` and `top`, as somebody types them who tries ferroloop."""

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from support import loops
from support.gates import FREE_THREADED
from support.scripts import Script, environment

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

MISSING = "No module named 'missing_loop'"


def ferroloop(*arguments: str, cwd: Path, stdout: Any = subprocess.PIPE, **variables: str) -> Script:
    """Run `python -m ferroloop ARGUMENTS`, with modules of the test's own in the directory `modules`."""
    import ferroloop

    path = f"{cwd / 'modules'}:{Path(ferroloop.__path__[0]).parent}"
    done = subprocess.run(
        [sys.executable, "-m", "ferroloop", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=path, **variables),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return Script(done.returncode, done.stdout or "", done.stderr)


def add_module(cwd: Path, name: str, code: str) -> None:
    (cwd / "modules").mkdir(exist_ok=True)
    (cwd / "modules" / f"{name}.py").write_text(code)


def test_doctor_reports(tmp_path: Path) -> None:
    """Every section, every trial passed, and the programs of the test environment with their commands."""
    script = ferroloop("doctor", cwd=tmp_path)
    assert (script.code, script.err) == (0, "")
    for words in (
        r"^Here$",
        r"poller: (epoll|kqueue)",
        r"open files \(ulimit -n\): \d+",
        r"ok +a sleep of 2 ms takes \d+ µs longer",
        r"ok +a TCP connection",
        r"ok +a call in another thread",
        r"ok +a child process",
        r"ok +uvicorn \S+ +uvicorn --loop ferroloop:new_event_loop app:app",
        r"^No problem found.$",
    ):
        assert re.search(words, script.out, re.MULTILINE), words
    assert "PROBLEM" not in script.out


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL in any case")
@pytest.mark.parametrize(("setting", "expected"), [("0", "the GIL is off: loops"), ("1", "note    the GIL is on")])
def test_doctor_sees_the_gil(tmp_path: Path, setting: str, expected: str) -> None:
    """S58.1: whether threads can run at once."""
    script = ferroloop("doctor", cwd=tmp_path, PYTHON_GIL=setting)
    assert (script.code, script.err) == (0, "")
    assert expected in script.out


def test_encodings_without_its_characters(tmp_path: Path) -> None:
    """They are replaced."""
    script = ferroloop("doctor", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (script.code, script.err) == (0, "")
    assert re.search(r"ok +a sleep of 2 ms takes \d+ \?s longer", script.out)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads(tmp_path: Path, unbuffered: str) -> None:
    """As if by SIGPIPE, whose way most programs end then: without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        script = ferroloop("doctor", cwd=tmp_path, stdout=pipe, PYTHONUNBUFFERED=unbuffered)
    assert (script.code, script.err) == (128 + signal.SIGPIPE, "")


def test_doctor_without_openssl(tmp_path: Path) -> None:
    """S22.1: everything but TLS works on a Python without it, and the report says so."""
    add_module(tmp_path, "ssl", "raise ImportError('No module named _ssl')")
    script = ferroloop("doctor", cwd=tmp_path)
    assert (script.code, script.err) == (0, "")
    assert "note    no TLS: this Python was built without OpenSSL" in script.out


PROGRAMS = {
    "uvicorn": "uvicorn --loop ferroloop:new_event_loop app:app",
    "gunicorn": "-k ferroloop.contrib.gunicorn.ASGIWorker",
    "granian": "-m ferroloop.contrib.granian",
    "hypercorn": "-m ferroloop.contrib.hypercorn",
    "aiohttp": "-m aiohttp.web",
    "pytest-asyncio": "ferroloop.contrib.pytest",
    "anyio": "backend_options=",
    "distributed": "ferroloop.install()",
    "ray": "py_executable",
    "ipykernel": "-m ipykernel_launcher",
}


def test_doctor_knows_programs(tmp_path: Path) -> None:
    """Each that is installed, with its version and what to type; nothing of it is imported."""
    for name in PROGRAMS:
        about = tmp_path / "modules" / f"{name.replace('-', '_')}-98.76.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 98.76\n")
        add_module(tmp_path, name, "raise AssertionError('nobody asked for this to be imported')")
    script = ferroloop("doctor", cwd=tmp_path)
    assert (script.code, script.err) == (0, "")
    for name, words in PROGRAMS.items():
        assert re.search(rf"^  ok +{name} 98\.76 +.*{re.escape(words)}", script.out, re.MULTILINE), name


@pytest.mark.parametrize(("hard", "advice"), [(512, r"`ulimit -n 512`"), (256, r"limits\.conf\(5\)")])
def test_doctor_sees_few_descriptors(tmp_path: Path, hard: int, advice: str) -> None:
    """The limit that busy servers meet first, and what to type."""
    code = (
        f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); "
        "sys.argv[1:] = ['doctor']; runpy.run_module('ferroloop', run_name='__main__')"
    )
    import ferroloop

    place = str(Path(ferroloop.__path__[0]).parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=place),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(rf"note +open files \(ulimit -n\): 256, at most {hard}; .*{advice}", done.stdout)


START = {
    "policy": (
        "import asyncio.events as e\n"
        "class Policy(e.__dict__.get('_BaseDefaultEventLoopPolicy') or e.BaseDefaultEventLoopPolicy): pass\n"
        "(e.__dict__.get('_set_event_loop_policy') or e.set_event_loop_policy)(Policy())",
        r"note +an event loop policy is set at start: sitecustomize\.Policy",
        0,
    ),
    "patch": (
        "import sys, types; sys.modules['nest_asyncio'] = types.ModuleType('nest_asyncio')",
        r"PROBLEM nest_asyncio is loaded at start",
        1,
    ),
    "profile": ("import sys; sys.setprofile(lambda *a: None)", r"note +a trace or profile function is set", 0),
}


@pytest.mark.parametrize("name", START)
def test_doctor_sees_what_is_set_at_start(tmp_path: Path, name: str) -> None:
    """What a `sitecustomize` module does before any program begins."""
    code, expected, status = START[name]
    add_module(tmp_path, "sitecustomize", code)
    script = ferroloop("doctor", cwd=tmp_path)
    assert re.search(expected, script.out), script.out
    assert script.code == status


def test_doctor_sees_other_loops_and_debug_mode(tmp_path: Path) -> None:
    """Servers prefer some loops by themselves; debug mode is slow."""
    add_module(tmp_path, "rloop", "raise AssertionError('nobody asked for this to be imported')")
    script = ferroloop("doctor", cwd=tmp_path, PYTHONASYNCIODEBUG="1")
    assert re.search(r"note +rloop is installed", script.out), script.out
    assert re.search(r"note +asyncio's debug mode is on", script.out)


def test_doctor_tells_a_failing_loop(tmp_path: Path) -> None:
    """A trial that fails is a problem, told with its error, and the others go on."""
    add_module(tmp_path, "sitecustomize", "import sys; sys.executable = '/nonexistent/python'")
    script = ferroloop("doctor", cwd=tmp_path)
    assert script.code == 1
    assert re.search(r"PROBLEM A child process.*FileNotFoundError", script.out), script.out
    assert re.search(r"ok +a TCP connection", script.out)
    assert script.out.endswith("1 problem found\n")


QUICK = ("--rounds", "1", "--seconds", "0.01")


def test_bench_compares(tmp_path: Path) -> None:
    """A table with a row for each workload, bars, and a picture."""
    script = ferroloop("bench", *QUICK, "--loops", "asyncio,ferroloop", "--svg", "chart.svg", cwd=tmp_path)
    assert script.code == 0, script.err
    rows = re.findall(r"^(\w+) +[\d,]+ \(1\.00\) +[\d,]+ \(\d+\.\d\d\)$", script.out, re.MULTILINE)
    assert rows == ["callbacks", "timeouts", "tasks", "tcp", "streams"]
    assert len(re.findall(r"^ferroloop [█▉▊▋▌▍▎▏ ]{40} \d+\.\d\d$", script.out, re.MULTILINE)) == len(rows)
    assert "█" * 40 in script.out
    picture = xml.etree.ElementTree.parse(tmp_path / "chart.svg").getroot()
    bars = [element for element in picture.iter("{http://www.w3.org/2000/svg}rect") if element.get("x")]
    assert len(bars) == 2 * len(rows)


def test_bench_tells_of_a_loop_that_fails(tmp_path: Path) -> None:
    """It has no figure, and the others are measured all the same."""
    add_module(tmp_path, "rloop", "import missing_loop")
    script = ferroloop("bench", *QUICK, "--loops", "asyncio,rloop", cwd=tmp_path)
    assert script.code == 0, script.err
    assert re.search(r"^tcp +[\d,]+ \(1\.00\) +failed$", script.out, re.MULTILINE)
    assert f"rloop failed at tcp: ModuleNotFoundError: {MISSING}" in script.out


@pytest.mark.parametrize(
    "arguments", [("--loops", "nonsense"), ("--rounds", "0"), ("--seconds", "-1"), ("--seconds", "1e9"), ("extra",)]
)
def test_bench_refuses(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Bad options end at once, with the usage."""
    script = ferroloop("bench", *arguments, cwd=tmp_path)
    assert script.code == 2
    assert script.err.startswith("usage: python -m ferroloop bench")


@pytest.mark.parametrize("name", ["doctor", "bench", "dump", "top"])
@pytest.mark.parametrize("place", ["{}", "{}/__main__.py"])
def test_the_users_program_comes_first(tmp_path: Path, name: str, place: str) -> None:
    """S50: a file or directory that python would run is run, whatever it is called."""
    program = tmp_path / place.format(name)
    program.parent.mkdir(exist_ok=True)
    program.write_text("import sys; print('mine', sys.argv[1:])")
    assert ferroloop(name, "--svg", cwd=tmp_path).out == "mine ['--svg']\n"


def test_a_directory_that_is_no_program(tmp_path: Path) -> None:
    """A folder of benchmarks does not hide the command."""
    (tmp_path / "bench").mkdir()
    assert ferroloop("bench", "--help", cwd=tmp_path).out.startswith("usage: python -m ferroloop bench")
