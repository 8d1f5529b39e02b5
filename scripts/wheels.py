"""Usage: scripts/wheels.py TOOLS OUT PYTHON...

Builds a wheel for each interpreter into OUT, with maturin and zig from the environment TOOLS (dependency group
`package`).

Linking by zig against the symbols of glibc 2.17 gives manylinux2014 wheels on any Linux. A profile tells the compiler
which paths are hot: the first interpreter runs the workloads of `python -m ferroloop bench` on an instrumented build.
That needs an llvm-profdata of rustc's own LLVM (`rustup component add llvm-tools`, Debian's package llvm-N, or its path
in LLVM_PROFDATA); without it the wheels are built without a profile, and the script says so. The profile is kept in
.build until somebody removes it. The same sources, toolchain and profile give the same bytes, wherever they are.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ROOT / ".build" / "target" / "wheels"
PROFILE = ROOT / ".build" / "ferroloop.profdata"
WORKLOADS = ("callbacks", "timeouts", "tasks", "tcp", "streams")
LINUX = sys.platform == "linux"


def main(tools: Path, out: Path, pythons: list[str]) -> None:
    """Train once, build for all."""
    out.mkdir(parents=True, exist_ok=True)
    if not PROFILE.exists():
        train(pythons[0])
    flags = f"-Cprofile-use={PROFILE}" if PROFILE.exists() else ""
    portable = ["--zig", "--compatibility", "manylinux2014"] if LINUX else []
    for python in pythons:
        command = [tools / "bin" / "maturin", "build", "--release", "--locked", "--strip", "--quiet", *portable]
        with tempfile.TemporaryDirectory() as made:
            path = f"{tools / 'bin'}:{os.environ['PATH']}"
            run([*command, "--interpreter", python, "--out", made], python, flags, PATH=path)
            for wheel in Path(made).glob("*.whl"):
                settle(wheel, out / wheel.name)


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


def train(python: str) -> None:
    """Run the workloads on an instrumented build and merge what it counted."""
    profdata = find_profdata()
    if profdata is None:
        print("wheels: no llvm-profdata for this rustc, so no profile-guided optimization", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as directory:
        counts, package = Path(directory, "counts"), Path(directory, "package")
        instrumented = build_instrumented(python, counts)
        shutil.copytree(ROOT / "python", package, ignore=shutil.ignore_patterns("*.so"))
        shutil.copy(instrumented, package / "ferroloop" / f"_ferroloop{suffix(python)}")
        for workload in WORKLOADS:
            command = [python, "-m", "ferroloop._commands.sample", "ferroloop", workload, "1"]
            run(
                command, python, "", cwd=directory, PYTHONPATH=str(package), LLVM_PROFILE_FILE=f"{counts}/%m-%p.profraw"
            )
        run([profdata, "merge", "--output", PROFILE, counts], python, "")


def build_instrumented(python: str, counts: Path) -> Path:
    """The library that counts. An explicit target keeps the flags away from build scripts."""
    target = host()
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--package", "ferroloop", "--target", target]
    run(command, python, f"-Cprofile-generate={counts}")
    name = "lib_ferroloop.so" if LINUX else "lib_ferroloop.dylib"
    return TARGETS / target / "release" / name


def run(command: list[str | Path], python: str, flags: str, cwd: str | Path = ROOT, **variables: str) -> None:
    """Run a command that may compile something for `python`."""
    registry = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry", "src")
    remap = f"--remap-path-prefix={registry}=registry --remap-path-prefix={ROOT}=ferroloop"
    build = {"RUSTFLAGS": f"{remap} {flags}".rstrip(), "CARGO_TARGET_DIR": str(TARGETS), "PYO3_PYTHON": python}
    subprocess.run(command, cwd=cwd, env=os.environ | build | variables, check=True)


def suffix(python: str) -> str:
    """The end of an extension module's file name."""
    command = [python, "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def rustc(field: str) -> str:
    """What `rustc -vV` says of itself."""
    words = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ") for line in words.splitlines() if ": " in line)[field]


def host() -> str:
    """The target triple of this machine."""
    return rustc("host")


def find_profdata() -> str | None:
    """An llvm-profdata that reads what this rustc's LLVM writes: its major version must be the same."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    major = rustc("LLVM version").partition(".")[0]
    own = Path(sysroot, "lib", "rustlib", host(), "bin", "llvm-profdata")
    for candidate in (os.environ.get("LLVM_PROFDATA"), own, f"llvm-profdata-{major}", "llvm-profdata"):
        if candidate and (found := shutil.which(candidate)):
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
            if f"version {major}." in version:
                return found
    return None


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]), sys.argv[3:])
