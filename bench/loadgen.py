"""The load generator: built on first use, from `load/` next to this file."""

import functools
import subprocess

from process import HERE

_TARGET = HERE.parent / ".build" / "target" / "load"


@functools.cache
def path() -> str:
    """The path of the load generator's executable, which is up to date."""
    manifest = HERE / "load" / "Cargo.toml"
    build = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(manifest)]
    subprocess.run([*build, "--target-dir", str(_TARGET)], check=True)
    return str(_TARGET / "release" / "ferroloop-load")
