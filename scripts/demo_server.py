"""uvicorn, started and stopped as a process of its own."""

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Server:
    """A running uvicorn. `command` is what one types to start it."""

    command: str
    port: int

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The answer to one request, which must be a JSON document with status 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{method} {path}: {answer.status} {text!r}")
        return json.loads(text)


@contextmanager
def uvicorn(loop: str) -> Iterator[Server]:
    """Serve the demo's application, `loop` being uvicorn's option. Ends by SIGTERM, as an administrator would."""
    options = ["uvicorn", "demo_app:application", "--loop", loop, "--port", "0", "--no-access-log", "--no-use-colors"]
    process = subprocess.Popen([sys.executable, "-m", *options], cwd=_HERE, stderr=subprocess.PIPE, text=True)
    try:
        yield Server(" ".join(options), _port(process))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
        if "Finished server process" not in log or "ERROR" in log:
            raise SystemExit(f"{loop}: the server did not end well\n{log}")
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[str]) -> int:
    """The port uvicorn found free, from its log."""
    assert process.stderr
    log = ""
    for line in process.stderr:
        log += line
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise SystemExit(f"the server does not start\n{log}")
