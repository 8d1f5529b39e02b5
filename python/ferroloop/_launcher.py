"""`python -m ferroloop`: run an unchanged program with ferroloop as the loop that asyncio gives it.

Apart from that the program must not notice: `sys.argv`, `sys.path`, `__main__`, exit codes and tracebacks are those of
plain `python` with the same arguments.
"""

import builtins
import functools
import importlib.machinery
import io
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any, NoReturn

from . import _commands
from ._activate import activate
from ._ferroloop import __version__

_USAGE = """\
usage: python -m ferroloop (FILE | - | -m MODULE | -c CODE) [ARG ...]
       python -m ferroloop (doctor | bench) [OPTION ...]
       python -m ferroloop (dump | top) PID

Run a Python program with ferroloop as its asyncio event loop.

  FILE        a script, a .pyc file, a directory or a zip file with a __main__.py
  -           a program read from stdin
  -m MODULE   a module, as by `python -m`
  -c CODE     a program given as a string
  doctor      tell what ferroloop finds on this machine, and how to use it from the programs installed
  bench       compare it with the other event loops installed, in about a minute
  dump PID    print what the event loops of a running process hold, also of one that hangs (Python 3.14 and later)
  top PID     show for what its event loops spend their time, again and again (Python 3.14 and later)
  --version   print the version and exit
  --help      print this and exit

A file or directory of your own that is called like a command (doctor, bench, dump, top) comes before it.
"""


def main() -> None:
    """Do what `sys.argv` says."""
    match _separate(sys.argv[1:]):
        case ["-h" | "--help", *_]:
            print(_USAGE, end="")
        case ["-V" | "--version", *_]:
            print(f"ferroloop {__version__}")
        case ["-m", module, *args]:
            _launch(["-m", *args], functools.partial(_run_module, module))
        case ["-c", code, *args]:
            _launch(["-c", *args], functools.partial(_run_string, code))
        case ["-", *_] as argv:
            _launch(argv, _run_stdin)
        case [name, *args] if _commands.is_meant(name):
            sys.exit(_commands.run(name, args))
        case [path, *args] if not path.startswith("-"):
            _launch([path, *args], functools.partial(_run_path, path))
        case _:
            _fail(_USAGE.rstrip())


def _separate(words: list[str]) -> list[str]:
    """Part an option from its value, which may be one word: `-mMODULE`, `-cCODE`."""
    if words and words[0].startswith(("-m", "-c")) and len(words[0]) > 2:
        return [words[0][:2], words[0][2:], *words[1:]]
    return words


def _launch(argv: list[str], run: Callable[[], object]) -> None:
    sys.argv = argv
    activate()
    try:
        run()
    except BaseException:
        sys.excepthook = functools.partial(_report_without_launcher, sys.excepthook)
        raise


def _run_module(name: str) -> None:
    _new_main()
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # what `python -m` itself calls


def _run_string(code: str) -> None:
    if sys.version_info >= (3, 14):
        code = textwrap.dedent(code)
    _set_path0("")
    contents = _new_main(__loader__=importlib.machinery.BuiltinImporter)
    program = compile(code, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):  # tracebacks show the lines of the string
        key = program if sys.version_info >= (3, 14) else "<string>"
        linecache._register_code(key, code, "<string>")  # type: ignore[attr-defined]
    exec(program, contents)


def _run_stdin() -> None:
    _set_path0("")
    contents = _new_main(__file__="<stdin>", __loader__=importlib.machinery.BuiltinImporter)
    _add_cached(contents)
    exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True), contents)


def _run_path(path: str) -> None:
    if not os.path.isabs(path):  # the working directory may be gone
        path = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(path) is not None:  # a directory or a zip file
        _set_path0(path, always=True)
        _new_main()
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as exc:
        _fail(f"{sys.orig_argv[0]}: can't open file {path!r}: [Errno {exc.errno}] {exc.strerror}")
    _set_path0(os.path.dirname(os.path.realpath(path)))
    compiled = _compiled(path, content)
    loader = importlib.machinery.SourceFileLoader if compiled is None else importlib.machinery.SourcelessFileLoader
    contents = _new_main(__file__=path, __loader__=loader("__main__", path))
    _add_cached(contents)
    exec(compiled or compile(content, path, "exec", dont_inherit=True), contents)


def _compiled(path: str, content: bytes) -> types.CodeType | None:
    """The program in a .pyc file, which may have any name; None if this is source."""
    code: types.CodeType | None = pkgutil.read_code(io.BytesIO(content))
    if code is None and path.endswith(".pyc"):
        raise RuntimeError("Bad magic number in .pyc file")
    return code


def _new_main(**contents: Any) -> dict[str, Any]:
    """Put a fresh `__main__` in the place of this package's own."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    vars(main).update(__builtins__=builtins, **contents)
    return vars(main)


def _add_cached(contents: dict[str, Any]) -> None:
    if sys.version_info < (3, 15):
        contents["__cached__"] = None


def _set_path0(entry: str, always: bool = False) -> None:
    """Replace the entry that `python -m` put first in `sys.path`; in safe-path mode there is none."""
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def _report_without_launcher(hook: Callable[..., object], kind: type, value: BaseException, stack: Any) -> None:
    """An excepthook that shows the program's frames only."""
    entry = stack
    while entry is not None:
        if entry.tb_frame.f_code.co_filename == __file__:
            stack = entry.tb_next
        entry = entry.tb_next
    hook(kind, value.with_traceback(stack), stack)


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)
