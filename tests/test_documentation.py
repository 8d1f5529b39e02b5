"""Every code sample of README.md, docs/ and examples/ does what it says: none fails, and servers answer.

But for Ray's, which nothing installs, and those marked as text.
"""

import importlib.metadata
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import loops
from support.samples import ROOT, Sample, samples
from support.scripts import environment
from support.served import ask, free_port

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

SHOWN = {"text"}  # output: there is nothing to run
RUN = {"python", "sh"}
# Compiled and tested where it comes from.
QUOTED = {"rust": ROOT / "futures" / "examples" / "rust_coroutines.rs"}
ALL = samples()
# By the names of projects, as pyproject.toml has them.
INSTALLED = {distribution.name.lower().replace("_", "-") for distribution in importlib.metadata.distributions()}


def selected(mark: str) -> list[object]:
    """The samples with, or without, the mark `serves`, gated by what they need.

    Files are run by the samples that use them.
    """
    return [
        pytest.param(sample, id=str(sample), marks=[_gate(sample)])
        for sample in ALL
        if sample.language in RUN and "file" not in sample.marks and ("serves" in sample.marks) == (mark == "serves")
    ]


def _gate(sample: Sample) -> pytest.MarkDecorator:
    missing = [name for name in sample.marks.get("needs", "").split() if name not in INSTALLED]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}, from `make integrations` or by hand")


def test_all_languages_are_known() -> None:
    """Else a sample would be forgotten."""
    assert [str(sample) for sample in ALL if sample.language not in SHOWN | RUN | set(QUOTED)] == []
    assert len(ALL) > 20


def test_all_needs_are_met_somewhere() -> None:
    """Else a sample would be skipped everywhere. Ray is too much to install."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = [one for name in ("demo", "test", "integrations") for one in groups[name] if isinstance(one, str)]
    installed = {re.split(r"[<>=;]", one)[0] for one in wanted}
    needed = {name for sample in ALL for name in sample.marks.get("needs", "").split()}
    assert needed - installed == {"ray"}


@pytest.mark.parametrize("sample", [sample for sample in ALL if sample.language in QUOTED], ids=str)
def test_quotation(sample: Sample) -> None:
    """Word for word."""
    assert sample.code in QUOTED[sample.language].read_text()


def variables(tmp_path: Path) -> dict[str, str]:
    import ferroloop

    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    package = Path(ferroloop.__path__[0]).parent
    # Policies warn of their end on 3.14 and 3.15.
    return environment(PATH=path, PYTHONPATH=f"{package}:{tmp_path}", PYTHONWARNINGS="ignore::DeprecationWarning")


def write_files(sample: Sample, tmp_path: Path) -> None:
    for name, code in sample.files.items():
        (tmp_path / name).write_text(code)


@pytest.mark.parametrize("sample", selected("ends"))
def test_sample(sample: Sample, tmp_path: Path) -> None:
    """It ends by itself, well."""
    write_files(sample, tmp_path)
    command = [sys.executable, "-c", sample.code] if sample.language == "python" else ["sh", "-ec", sample.code]
    done = subprocess.run(command, cwd=tmp_path, env=variables(tmp_path), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sample", selected("serves"))
def test_server(sample: Sample, tmp_path: Path) -> None:
    """It answers, and ends at SIGTERM."""
    write_files(sample, tmp_path)
    port = free_port()
    program, *arguments = shlex.split(re.sub(r"\b8000\b", str(port), sample.code.replace("\\\n", " ")))
    command = [sys.executable, *([] if program == "python" else ["-m", program]), *arguments]
    with subprocess.Popen(
        command, cwd=tmp_path, env=variables(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert b"ferroloop" in ask(port, sample.marks["serves"])
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=40)
        finally:
            process.kill()
    assert "Traceback" not in output
