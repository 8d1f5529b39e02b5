"""ferroloop at work: one web application under uvicorn, on ferroloop and on asyncio's own loop.

Needs ferroloop and uvicorn in the running interpreter. Asks the application a few questions, then compares how
many requests it answers on either loop. Ends by itself; the exit code is not 0 if anything went wrong.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from demo_server import Server, uvicorn

_ROUNDS = 3
_SECONDS = 2.0
_BODY = bytes(1_000_000)
_QUESTIONS: tuple[tuple[str, str, bytes | None], ...] = (
    ("GET", "/", None),
    ("GET", "/together", None),
    ("GET", "/deadline", None),
    ("POST", "/upload", _BODY),
    ("GET", "/neighbour", None),
)


def main() -> None:
    """Show answers, then rates."""
    with uvicorn("ferroloop:new_event_loop") as ours, uvicorn("asyncio") as stock:
        _show_answers(ours)
        name, other = ours.ask("GET", "/")["loop"], stock.ask("GET", "/")["loop"]
        if not name.startswith("ferroloop.") or not other.startswith("asyncio."):
            raise SystemExit(f"not the loops that were asked for: {name}, {other}")
        print(f"\n{_ROUNDS} rounds of {_SECONDS:.0f} s of GET /plaintext on each loop, in turn ...", flush=True)
        rounds = [(_load(ours), _load(stock)) for _ in range(_ROUNDS)]
    _print_table({name: [mine for mine, _ in rounds], other: [theirs for _, theirs in rounds]})


def _show_answers(server: Server) -> None:
    print(f"$ {server.command}")
    for method, path, body in _QUESTIONS:
        print(f"\n{method} {path}" + (f" with {len(body):,} bytes" if body else ""))
        for line in json.dumps(server.ask(method, path, body), indent=2).splitlines():
            print(f"    {line}")


def _load(server: Server) -> tuple[float, float]:
    """Requests per second, and the server's CPU time per request in µs."""
    client = Path(__file__).with_name("demo_client.py")
    before = server.ask("GET", "/cpu")["seconds"]
    command = [sys.executable, str(client), str(server.port), str(_SECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=10 + _SECONDS, check=True)
    rate = float(done.stdout)
    return rate, (server.ask("GET", "/cpu")["seconds"] - before) / (rate * _SECONDS) * 1e6


def _print_table(figures: dict[str, list[tuple[float, float]]]) -> None:
    width = max(map(len, figures))
    print(f"\n{'':{width}}  {'requests/s':>12}  {'CPU/request':>12}")
    medians = []
    for name, rounds in figures.items():
        rate, cpu = median(rate for rate, _ in rounds), median(cpu for _, cpu in rounds)
        medians.append((rate, cpu))
        print(f"{name:{width}}  {rate:12,.0f}  {cpu:9.1f} µs")
    (rate, cpu), (other_rate, other_cpu) = medians
    print(f"{'':{width}}  {rate / other_rate:11.2f}x  {other_cpu / cpu:11.2f}x")


if __name__ == "__main__":
    main()
