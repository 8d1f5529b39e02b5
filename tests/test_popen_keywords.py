"""S32.3: every keyword of subprocess.Popen reaches the child."""

import asyncio
import fcntl
import inspect
import os
import subprocess
import sys
from typing import Any

import pytest
from support.loops import Loop, Run

PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT
PYTHON = [sys.executable, "-S", "-c"]
SHELL = ["/bin/sh", "-c"]
ON_LINUX = sys.platform == "linux"


async def output(*command: str, **options: Any) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, **options)
    text, _ = await process.communicate()
    return text.decode().strip()


async def check_executable() -> None:
    assert await output("other name", "-c", "echo $0 $1", "x", "y", executable="/bin/sh") == "x y"


async def check_stdin() -> None:
    with open(__file__, "rb") as file:
        assert await output("head", "-c", "3", stdin=file) == '"""'


async def check_stdout() -> None:
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec("echo", "x", stdout=writer)
    os.close(writer)
    await process.wait()
    assert os.read(reader, 9) == b"x\n"
    os.close(reader)


async def check_stderr() -> None:
    assert await output(*SHELL, "echo x >&2", stderr=STDOUT) == "x"


async def check_preexec_fn() -> None:
    assert await output("echo", "after", preexec_fn=lambda: os.write(1, b"before ")) == "before after"


async def check_close_fds() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    script = f"test -e /dev/fd/{writer} && echo open || echo closed"
    assert await output(*SHELL, script) == "closed"
    assert await output(*SHELL, script, close_fds=False) == "open"
    os.close(reader)
    os.close(writer)


async def check_shell() -> None:
    process = await asyncio.create_subprocess_shell("exit 3", shell=True)
    assert await process.wait() == 3


async def check_cwd() -> None:
    assert await output("pwd", cwd="/") == "/"


async def check_env() -> None:
    assert await output("/usr/bin/env", env={"A": "b"}) == "A=b"


async def check_restore_signals() -> None:
    script = "grep SigIgn /proc/self/status"
    ignored = [await output(*SHELL, script, restore_signals=restore) for restore in (True, False)]
    sigpipe = [bool(int(text.split()[1], 16) & 1 << 12) for text in ignored]
    assert sigpipe == [False, True]


async def check_start_new_session() -> None:
    script = "import os; print(os.getsid(0) == os.getpid())"
    assert await output(*PYTHON, script, start_new_session=True) == "True"


async def check_pass_fds() -> None:
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(*SHELL, f"echo passed >/dev/fd/{writer}", pass_fds=(writer,))
    os.close(writer)
    await process.wait()
    assert os.read(reader, 99) == b"passed\n"
    os.close(reader)


async def check_user() -> None:
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    assert await output("id", "-u", user=user) == str(user)


async def check_group() -> None:
    group = 65534 if os.geteuid() == 0 else os.getegid()
    assert await output("id", "-g", group=group) == str(group)


async def check_extra_groups() -> None:
    if os.geteuid() == 0:
        assert set((await output("id", "-G", extra_groups=[7, 9])).split()) == {str(os.getegid()), "7", "9"}
    else:
        with pytest.raises(PermissionError):
            await output("id", "-G", extra_groups=[7, 9])


async def check_umask() -> None:
    assert int(await output(*SHELL, "umask", umask=0o27), 8) == 0o27


async def check_pipesize() -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, pipesize=1 << 17)
    pipe = process.stdin.transport.get_extra_info("pipe")
    assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == 1 << 17
    process.stdin.close()
    await process.wait()


async def check_process_group() -> None:
    script = "import os; print(os.getpgid(0) == os.getpid())"
    assert await output(*PYTHON, script, process_group=0) == "True"
    assert await output(*PYTHON, script) == "False"


async def check_nothing_special() -> None:
    assert await output("echo", "x", bufsize=0, universal_newlines=False, text=False, encoding=None, errors=None) == "x"


async def check_windows_only() -> None:
    assert await output("echo", "x", startupinfo=None, creationflags=0) == "x"
    with pytest.raises(ValueError, match="Windows"):
        await output("echo", "x", creationflags=1)


CHECKS = {
    "args": check_nothing_special,
    "bufsize": check_nothing_special,
    "universal_newlines": check_nothing_special,
    "text": check_nothing_special,
    "encoding": check_nothing_special,
    "errors": check_nothing_special,
    "startupinfo": check_windows_only,
    "creationflags": check_windows_only,
    **{name.removeprefix("check_"): check for name, check in globals().copy().items() if name.startswith("check_")},
}
KEYWORDS = [name for name in inspect.signature(subprocess.Popen).parameters if name != "self"]


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_popen_keywords(spawning: Loop, run: Run, keyword: str) -> None:
    """S32.3: every one that the running Python's Popen has."""
    if keyword in ("pipesize", "restore_signals"):
        assert ON_LINUX, "this check reads /proc"
    run(CHECKS[keyword]())
