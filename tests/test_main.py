"""`python -m ferroloop`: any program on ferroloop, and otherwise as with plain python.

The oracle half runs the same command without `-m ferroloop`.
"""

import py_compile
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ferroloop._commands import NAMES
from support import loops
from support.gates import ferroloop_only
from support.scripts import Script, environment

Launch = Callable[..., Script]
WHICH = """
import asyncio
async def main():
    print(type(asyncio.get_running_loop()).__module__.partition(".")[0])
asyncio.run(main())
"""


def launch_kind(kind: str, *args: str, cwd: Path, stdin: str = "", **variables: str) -> Script:
    """Run python, or python -m ferroloop, with these arguments."""
    prefix = [] if kind == loops.ORACLE else ["-m", "ferroloop"]
    place = {} if kind == loops.ORACLE else {"PYTHONPATH": package_path()}
    done = subprocess.run(
        [sys.executable, *prefix, *args],
        cwd=cwd,
        env=environment(**place, **variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return Script(done.returncode, done.stdout, done.stderr)


def package_path() -> str:
    """Where the package under test lies."""
    import ferroloop

    return str(Path(ferroloop.__path__[0]).parent)


@pytest.fixture
def launch(loop_kind: str, tmp_path: Path) -> Launch:
    """Run this half's python in the temporary directory."""

    def launch(*args: str, **variables: Any) -> Script:
        return launch_kind(loop_kind, *args, cwd=tmp_path, **variables)

    return launch


def write(path: Path, code: str) -> Path:
    """A file with this code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return path


@pytest.mark.parametrize("how", ["file", "module", "code"])
def test_loop_of_the_program(launch: Launch, loop_kind: str, tmp_path: Path, how: str) -> None:
    """Who asks asyncio gets ferroloop."""
    write(tmp_path / "app.py", WHICH)
    args = {"file": ["app.py"], "module": ["-m", "app"], "code": ["-c", WHICH]}[how]
    script = launch(*args)
    assert script.code == 0, script.err
    assert script.out.split() == [loop_kind]


ASKING = {
    "new_event_loop": "asyncio.new_event_loop()",
    "SelectorEventLoop": "asyncio.SelectorEventLoop()",
    "Runner": "asyncio.Runner().get_loop()",
    "EventLoop": "getattr(asyncio, 'EventLoop', asyncio.SelectorEventLoop)()",
    "policy reset": "(asyncio.events._set_event_loop_policy(None) if sys.version_info >= (3, 14)"
    " else asyncio.set_event_loop_policy(None), asyncio.new_event_loop())[1]",
}


@pytest.mark.parametrize("name", ASKING)
def test_every_way_to_ask(launch: Launch, loop_kind: str, name: str) -> None:
    """S50: whatever name the program knows."""
    code = f"import asyncio, sys; loop = {ASKING[name]}; print(type(loop).__module__); loop.close()"
    assert launch("-c", code).out.partition(".")[0].strip() == loop_kind


def test_arguments(launch: Launch, tmp_path: Path) -> None:
    """sys.argv, options of the program included."""
    write(tmp_path / "app.py", "import sys; print(sys.argv)")
    assert launch("app.py", "-m", "--x", "y").out == "['app.py', '-m', '--x', 'y']\n"
    code = "import sys; print(sys.argv)"
    assert launch("-c", code, "-c", "a").out == "['-c', '-c', 'a']\n"
    out = launch("-m", "app", "-h").out
    assert out == f"[{str(tmp_path / 'app.py')!r}, '-h']\n"


def test_joined_options(launch: Launch, tmp_path: Path) -> None:
    """An option and its value in one word."""
    write(tmp_path / "app.py", "import sys; print(sys.argv)")
    assert launch("-cimport sys; print(sys.argv)", "a").out == "['-c', 'a']\n"
    assert launch("-mapp", "a").out == f"[{str(tmp_path / 'app.py')!r}, 'a']\n"


PATH = "import sys; print(sys.path[0])"


def test_first_entry_of_the_path(launch: Launch, tmp_path: Path) -> None:
    """sys.path[0]: the script's directory, the working directory, or ''."""
    write(tmp_path / "sub" / "app.py", PATH)
    write(tmp_path / "mod.py", PATH)
    assert launch("sub/app.py").out == f"{tmp_path / 'sub'}\n"
    assert launch("-m", "mod").out == f"{tmp_path}\n"
    assert launch("-c", PATH).out == "\n"


def test_main_module(launch: Launch, tmp_path: Path) -> None:
    """__main__ is the program."""
    code = """
    import sys
    assert __name__ == "__main__"
    assert sys.modules["__main__"].__dict__ is globals()
    print(__file__, __spec__ and __spec__.name, __doc__)
    """
    write(tmp_path / "app.py", '"""Words."""\n' + textwrap.dedent(code))
    write(tmp_path / "pack" / "__init__.py", "")
    write(tmp_path / "pack" / "__main__.py", code)
    assert launch("app.py").out == f"{tmp_path / 'app.py'} None Words.\n"
    out = launch("-m", "pack").out
    assert out == f"{tmp_path / 'pack' / '__main__.py'} pack.__main__ None\n"


def test_directories_and_archives(launch: Launch, tmp_path: Path, loop_kind: str) -> None:
    """As python runs them."""
    write(tmp_path / "app" / "__main__.py", WHICH)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(tmp_path / "app" / "__main__.py", "__main__.py")
    for name in ("app", "app.zip"):
        assert launch(name).out.split() == [loop_kind]


def test_no_working_directory(loop_kind: str, tmp_path: Path) -> None:
    """S52.4: it may be gone, where the program is named by its whole path."""
    program = write(tmp_path / "program.py", WHICH)
    prefix = [] if loop_kind == loops.ORACLE else ["-m", "ferroloop"]
    done = subprocess.run(
        ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", sys.executable, *prefix, program],
        cwd=tmp_path,
        env=environment(PYTHONPATH=package_path()),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == f"{loop_kind}\n", done.stderr


def test_program_from_stdin(launch: Launch, loop_kind: str) -> None:
    """As python runs it."""
    assert launch("-", stdin=WHICH).out.split() == [loop_kind]
    code = "import sys\nprint(sys.argv, sys.path[0] == '', __name__, __file__, sys.stdin.read() == '')"
    assert launch("-", "a", "-m", stdin=code).out == "['-', 'a', '-m'] True __main__ <stdin> True\n"


@pytest.mark.parametrize("name", ["app.pyc", "app"])
def test_compiled_program(launch: Launch, loop_kind: str, tmp_path: Path, name: str) -> None:
    """By what is in it, whatever it is called."""
    source = write(tmp_path / "source.py", WHICH + "\nprint(type(__loader__).__name__, __file__)")
    py_compile.compile(str(source), str(tmp_path / name))
    source.unlink()
    assert launch(name).out.split() == [loop_kind, "SourcelessFileLoader", str(tmp_path / name)]


EXITS = {
    "end": ("pass", 0),
    "zero": ("import sys; sys.exit(0)", 0),
    "number": ("import sys; sys.exit(3)", 3),
    "text": ("import sys; sys.exit('words')", 1),
    "exception": ("1 / 0", 1),
    "exit in a callback": (
        "import asyncio, sys\nl = asyncio.new_event_loop()\nl.call_soon(sys.exit, 4)\nl.run_forever()",
        4,
    ),
    "syntax error": ("def", 1),
    "signal": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    "Ctrl-C": ("import signal; signal.raise_signal(signal.SIGINT)", -2),
}


@pytest.mark.parametrize("name", EXITS)
def test_exit_codes(launch: Launch, name: str) -> None:
    """The exit code is the program's."""
    code, expected = EXITS[name]
    assert launch("-c", code).code == expected


FAILING = """
import asyncio

async def main():
    await asyncio.sleep(0)
    raise LookupError("mine")

asyncio.run(main())
"""


def frames(text: str) -> list[str]:
    """The lines of a traceback that tell of the program."""
    lines = text.splitlines()
    return [line for line in lines if "asyncio" not in line and "ferroloop" not in line]


@pytest.mark.parametrize("how", ["file", "module", "code", "missing", "syntax", "no module", "stdin", "no .pyc"])
@ferroloop_only("plain python is the measure", "S52.4")
def test_tracebacks(launch: Launch, tmp_path: Path, how: str) -> None:
    """S52.4: the same words on stderr as from plain python."""
    write(tmp_path / "app.py", "def f():\n    1 / 0\nf()\n")
    write(tmp_path / "bad.py", "def f(:\n    pass\n")
    write(tmp_path / "bad.pyc", "Nothing that was compiled.")
    args = {
        "file": ["app.py"],
        "module": ["-m", "app"],
        "code": ["-c", "def f():\n    1 / 0\nf()\n"],
        "missing": ["nothing.py"],
        "syntax": ["bad.py"],
        "no module": ["-m", "nothing"],
        "stdin": ["-"],
        "no .pyc": ["bad.pyc"],
    }[how]
    stdin = "def f():\n    1 / 0\nf()\n"
    ours, plain = launch(*args, stdin=stdin), launch_kind(loops.ORACLE, *args, cwd=tmp_path, stdin=stdin)
    assert ours.code == plain.code
    assert ours.err == plain.err


def test_traceback_through_the_loop(launch: Launch, tmp_path: Path) -> None:
    """S52.4: the program's frames, and no frame of the launcher."""
    write(tmp_path / "app.py", FAILING)
    script = launch("app.py")
    assert script.code == 1
    assert script.err.rstrip().endswith("LookupError: mine")
    assert "in main" in script.err
    assert "launcher" not in script.err
    assert "runpy" not in script.err


def test_interactive_use_of_main(launch: Launch, tmp_path: Path) -> None:
    """`__main__` outlives the program for atexit functions and threads."""
    code = """
    import atexit, threading
    def late():
        print("late", NAME)
    NAME = "Ada"
    atexit.register(late)
    threading.Timer(0.02, late).start()
    """
    write(tmp_path / "app.py", code)
    assert launch("app.py").out == "late Ada\nlate Ada\n"


def test_multiprocessing(launch: Launch, tmp_path: Path) -> None:
    """Children of the spawn method find the program's main module."""
    code = """
    import multiprocessing
    def double(x):
        return 2 * x
    if __name__ == "__main__":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.map(double, [1, 2]))
    """
    write(tmp_path / "app.py", code)
    script = launch("app.py")
    assert script.out == "[2, 4]\n", script.err


def test_warnings_are_the_programs(launch: Launch) -> None:
    """S50.4, S56.4: starting says nothing, even with warnings as errors."""
    script = launch("-c", WHICH, PYTHONWARNINGS="error")
    assert script.code == 0, script.err
    assert script.err == ""


@ferroloop_only("options of ferroloop", "S50")
def test_own_options(launch: Launch) -> None:
    """--version, --help, and nonsense."""
    assert launch("--version").out.startswith("ferroloop ")
    usage = launch("--help").out
    assert usage.startswith("usage: python -m ferroloop")
    assert all(f"\n  {command} " in usage for command in NAMES)
    for args in ([], ["--nonsense"], ["-m"], ["-c"]):
        script = launch(*args)
        assert script.code == 2
        assert script.out == ""
        assert "usage: python -m ferroloop" in script.err
