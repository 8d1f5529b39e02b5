"""Usage: scripts/wheels.py TOOLS ENVIRONMENT OUT

Builds a wheel for the interpreter of ENVIRONMENT into OUT, with maturin and zig from the environment TOOLS (dependency
group `package`).

Linking by zig against the symbols of glibc 2.17 gives manylinux2014 wheels on any Linux. A profile tells the compiler
which paths are hot: the interpreter, with the dependency group `test`, runs `bench/training.py` on an instrumented
build. That needs an llvm-profdata of rustc's own LLVM (`rustup component add llvm-tools`, Debian's package llvm-N, or
its path in LLVM_PROFDATA); without it the wheel is built without a profile, and the script says so. The profile is kept
in ENVIRONMENT, one for each rustc, until the sources or the training change. The same sources, toolchain and profile
give the same bytes, wherever they are.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ROOT / ".build" / "target" / "wheels"
# Of each workload in the training.
SECONDS = 0.5
# The oldest systems that wheels are for, and what links for them.
PORTABLE = ("--zig", "--compatibility", "manylinux2014") if sys.platform == "linux" else ()


def main(tools: Path, environment: Path, out: Path) -> None:
    """Train, unless that has been done, and build."""
    out.mkdir(parents=True, exist_ok=True)
    python, profile = environment / "bin" / "python", environment / f"ferroloop-{rustc('release')}.profdata"
    if not is_current(profile):
        profile.unlink(missing_ok=True)
        train(tools, python, profile)
    # The compiler tells of each function that the profile does not know: all of them if it is that of another build.
    flags = f"-Cprofile-use={profile} -Cllvm-args=-pgo-warn-missing-function" if profile.exists() else ""
    with built(tools, python, flags, *PORTABLE) as wheel:
        settle(wheel, out / wheel.name)


@contextmanager
def built(tools: Path, python: Path, flags: str, *options: str) -> Iterator[Path]:
    """A wheel for `python`, compiled with `flags` and made with `options`."""
    registry = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry", "src")
    remap = f"--remap-path-prefix={registry}=registry --remap-path-prefix={ROOT}=ferroloop"
    variables = {
        "PATH": f"{tools / 'bin'}:{os.environ['PATH']}",
        "RUSTFLAGS": f"{remap} {flags}".rstrip(),
        "CARGO_TARGET_DIR": str(TARGETS),
        "PYO3_PYTHON": str(python),
    }
    command: list[str | Path] = [
        tools / "bin" / "maturin",
        "build",
        "--release",
        "--locked",
        "--strip",
        "--quiet",
        *options,
    ]
    with tempfile.TemporaryDirectory() as made:
        command += ["--interpreter", python, "--out", made]
        subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True)
        (wheel,) = Path(made).glob("*.whl")
        yield wheel


def settle(wheel: Path, settled: Path) -> None:
    """Copy the wheel without the time, the place and the random number that its bill of materials has of the build."""
    changed = {}
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(settled, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith(".cyclonedx.json"):
                bill = json.loads(content.replace(f"path+file://{ROOT}".encode(), b"path+file:///ferroloop"))
                del bill["serialNumber"], bill["metadata"]["timestamp"]
                content = json.dumps(bill, indent=2).encode()
                changed[entry.filename] = content
            elif entry.filename.endswith("/RECORD"):  # the last entry
                content = "".join(_line_of_record(line, changed) for line in content.decode().splitlines()).encode()
            target.writestr(entry, content)


def _line_of_record(line: str, changed: dict[str, bytes]) -> str:
    name = line.partition(",")[0]
    if content := changed.get(name):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        line = f"{name},sha256={digest},{len(content)}"
    return f"{line}\n"


def is_current(profile: Path) -> bool:
    """Whether there is a profile, and it knows the sources as they are."""
    of_the_build = ("Cargo.*", "*/Cargo.toml", "binding/src/**/*.rs", "engine/src/**/*.rs", "bench/**/*.py")
    sources = [source for pattern in of_the_build for source in ROOT.glob(pattern)]
    return profile.exists() and all(source.stat().st_mtime < profile.stat().st_mtime for source in sources)


def train(tools: Path, python: Path, profile: Path) -> None:
    """Run the workloads on an instrumented build and merge what it counted.

    That is made for the same Python in the way of the wheel itself: cargo's names of functions depend on how they are
    built, and a function of another name has no profile. Only the linker is the system's: zig's does not know how rustc
    asks for the library that counts.
    """
    profdata = find_profdata()
    if profdata is None:
        print("wheels: no llvm-profdata for this rustc, so no profile-guided optimization", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as directory:
        counts, package = Path(directory, "counts"), Path(directory, "package")
        flags, options = f"-Cprofile-generate={counts} -Clinker=cc", (*PORTABLE, "--auditwheel", "skip")
        with built(tools, python, flags, *options) as wheel, zipfile.ZipFile(wheel) as archive:
            archive.extractall(package)
        variables = {"PYTHONPATH": str(package), "LLVM_PROFILE_FILE": f"{counts}/%m-%p.profraw"}
        training: list[str | Path] = [python, ROOT / "bench" / "training.py", str(SECONDS)]
        subprocess.run(training, env=os.environ | variables, check=True)
        subprocess.run([profdata, "merge", "--output", profile, counts], check=True)


def rustc(field: str) -> str:
    """What `rustc -vV` says of itself."""
    words = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ") for line in words.splitlines() if ": " in line)[field]


def find_profdata() -> str | None:
    """An llvm-profdata that reads what this rustc's LLVM writes: its major version must be the same."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    major = rustc("LLVM version").partition(".")[0]
    own = Path(sysroot, "lib", "rustlib", rustc("host"), "bin", "llvm-profdata")
    for candidate in (os.environ.get("LLVM_PROFDATA"), own, f"llvm-profdata-{major}", "llvm-profdata"):
        if candidate and (found := shutil.which(candidate)):
            # Old ones do not know the option.
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            if f"version {major}." in version:
                return found
    return None


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), Path(sys.argv[3]))
