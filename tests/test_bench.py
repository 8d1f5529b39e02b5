"""The arithmetic of the benchmarks: medians, ratios, the best peer, the bars, and samples on disk."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules, which import one another by their bare names."""
    monkeypatch.syspath_prepend(str(BENCH))
    names = ("bars", "plot", "process", "report", "results", "samples", "served", "workload")
    return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@dataclass(frozen=True)
class Row:
    """A workload that is never run."""

    name: str
    unit: str = "/s"
    less_is_better: bool = False


def measured(bench: SimpleNamespace, figures: dict[tuple[Row, str], list[float]]) -> Any:
    """Results with these values, round by round."""
    workloads = list(dict.fromkeys(workload for workload, _ in figures))
    results = bench.results.Results(workloads, list(dict.fromkeys(loop for _, loop in figures)))
    for (workload, loop), values in figures.items():
        for number, value in enumerate(values):
            results.samples[workload.name, loop][0, number] = bench.workload.Sample(value, cpu=1 / value)
    return results


def test_ratio_is_the_median_of_the_ratios_within_rounds(bench: SimpleNamespace) -> None:
    """A machine that doubles its speed in the second round changes no ratio."""
    echo = Row("echo")
    results = measured(bench, {(echo, "ferroloop"): [30, 60, 33], (echo, "uvloop"): [10, 20, 10]})
    assert results.ratio(echo, "ferroloop", "uvloop") == pytest.approx(3)
    assert results.cpu_ratio(echo, "ferroloop", "uvloop") == pytest.approx(3)
    assert results.value(echo, "ferroloop") == 33


def test_above_one_is_better_where_less_is_better(bench: SimpleNamespace) -> None:
    """Half the memory is a ratio of two, and the least is the best."""
    memory = Row("memory", less_is_better=True)
    figures = {(memory, "ferroloop"): [500], (memory, "uvloop"): [1000], (memory, "zuvloop"): [2000]}
    results = measured(bench, figures)
    assert results.ratio(memory, "ferroloop", "uvloop") == 2
    assert results.best_peer(memory) == "uvloop"


def test_rounds_without_a_sample_of_both_do_not_count(bench: SimpleNamespace) -> None:
    """A sample that failed takes its partner out, not its neighbours."""
    echo = Row("echo")
    results = measured(bench, {(echo, "ferroloop"): [10, 90, 30], (echo, "uvloop"): [10, 1, 10]})
    del results.samples["echo", "uvloop"][0, 1]
    assert results.ratio(echo, "ferroloop", "uvloop") == 2
    assert results.ratio(echo, "ferroloop", "rloop") is None


def test_composite_takes_the_best_peer_of_each_workload(bench: SimpleNamespace) -> None:
    """The native server is the limit and no peer."""
    one, two = Row("one"), Row("two")
    figures: dict[tuple[Row, str], list[float]] = {
        (one, "ferroloop"): [40], (one, "uvloop"): [10], (one, "rloop"): [20], (one, "native"): [100],
        (two, "ferroloop"): [40], (two, "uvloop"): [80],
    }  # fmt: skip
    results = measured(bench, figures)
    assert results.best_peer(one) == "rloop"
    assert results.to_best(one) == 2
    assert results.mean_to_best() == pytest.approx(1)
    assert results.mean_to_reference("ferroloop") == pytest.approx(2**0.5)
    assert [(workload.name, ratio, peer) for workload, ratio, peer in bench.bars.behind(results)] == [
        ("two", 0.5, "uvloop")
    ]


def test_spread(bench: SimpleNamespace) -> None:
    """Half the distance of the extremes, as a share of the median."""
    assert bench.results.spread([90, 100, 110]) == pytest.approx(0.1)


def test_bars_hold_or_do_not_or_were_not_measured(bench: SimpleNamespace) -> None:
    """Spinning is compared with the same loop without it."""
    plain, spinning = Row("tcp/polling client/1 KiB x 1"), Row("tcp/polling client, spinning/1 KiB x 1")
    results = measured(bench, {(plain, "ferroloop"): [10], (plain, "uvloop"): [10], (spinning, "ferroloop"): [19]})
    verdicts = {bar.claim.split(":")[0]: bar for bar in bench.bars.bars(results)}
    assert verdicts["spinning"].holds is False
    assert verdicts["spinning"].figures == {spinning.name: 1.9}
    assert verdicts["no workload more than 5% behind the best peer"].holds is True
    assert verdicts["HTTP servers"].holds is None


def test_latency_bar_compares_each_quantile_with_its_best_peer(bench: SimpleNamespace) -> None:
    """Another peer may be the best at each of them."""
    echo = Row("tcp/protocol/1 KiB x 16")
    results = measured(bench, {(echo, loop): [1] for loop in ("ferroloop", "uvloop", "rloop")})
    for loop, latencies in {"ferroloop": (1, 2, 4), "uvloop": (2, 2, 2), "rloop": (3, 1, 4)}.items():
        results.samples[echo.name, loop][0, 0] = bench.workload.Sample(1, None, latencies)
    bar = next(bar for bar in bench.bars.bars(results) if bar.claim.startswith("latency"))
    assert list(bar.figures.values()) == [2, 0.5, 0.5]
    assert bar.holds is False


def test_loops_take_turns(bench: SimpleNamespace) -> None:
    """Each has had its n-th part before any has its next, until it has had its time or fails; all are ended."""
    turns: list[str] = []
    ended: set[str] = set()

    class Counting(bench.workload.ByTurns):
        def parts(self, loop: str, seconds: float) -> Generator[dict[str, float]]:
            try:
                for _ in range(1 if loop == "broken" else 1000):
                    turns.append(loop)
                    yield {"seconds": seconds}
                raise bench.process.SampleFailed("out of order")
            finally:
                ended.add(loop)

        def total(self, parts: list[dict[str, float]]) -> Any:
            return bench.workload.Sample(sum(part["seconds"] for part in parts))

    outcomes = Counting().samples(["a", "b", "broken"], 2.5)
    assert outcomes["a"].value == outcomes["b"].value == 2.5
    assert str(outcomes["broken"]) == "out of order"
    assert turns.count("broken") == 1
    both = [loop for loop in turns if loop != "broken"]
    assert {tuple(sorted(pair)) for pair in zip(both[::2], both[1::2], strict=True)} == {("a", "b")}
    assert ended == {"a", "b", "broken"}


def test_latencies_of_all_turns_count_together(bench: SimpleNamespace) -> None:
    """The time that 50, 99 and 99.9 % of the exchanges stayed below."""
    micros = Counter({1000 * number: 1 for number in range(1, 1001)})
    assert bench.served.quantiles(micros) == pytest.approx((500e-6, 990e-6, 999e-6))
    assert bench.served.quantiles(Counter({7000: 3})) == pytest.approx((7e-6, 7e-6, 7e-6))
    assert bench.served.quantiles(Counter()) == ()


def test_samples_survive_and_runs_are_put_together(bench: SimpleNamespace, tmp_path: Path) -> None:
    """Each line is a sample; the rounds of different files are different rounds."""
    echo, sleep = Row("echo"), Row("sleep")
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file, speed in zip(files, (1, 100), strict=True):
        run = bench.samples.Run.read(file)
        run.describe(["a machine"])
        run.add(echo, "uvloop", 0, bench.workload.Sample(10 * speed, 0.5, (1, 2, 3)))
        run.add(echo, "ferroloop", 0, bench.workload.Sample(20 * speed, 0.5))
        run.fail(sleep, "uvloop", 0, "too early")
    assert [set(json.loads(line)) >= {"workload", "loop", "round"} for line in files[0].read_text().splitlines()] == [
        False, True, True, True,
    ]  # fmt: skip
    runs = [bench.samples.Run.read(file) for file in files]
    assert runs[0].conditions == ["a machine"]
    results = bench.samples.merged(runs, [echo, sleep, Row("never run")])
    assert [workload.name for workload in results.workloads] == ["echo", "sleep"]
    assert results.loops == ["uvloop", "ferroloop"]
    assert results.ratio(echo, "ferroloop", "uvloop") == 2
    assert results.latencies(echo, "uvloop") == [1, 2, 3]
    assert results.failures == {("sleep", "uvloop"): "too early"}


def test_a_run_that_goes_on_takes_what_is_missing(bench: SimpleNamespace, tmp_path: Path) -> None:
    """What failed twice is not tried a third time."""
    echo = Row("echo")
    run = bench.samples.Run(tmp_path / "run.jsonl")
    assert run.needs(echo, "uvloop", 0)
    run.add(echo, "uvloop", 0, bench.workload.Sample(1))
    assert not run.needs(echo, "uvloop", 0)
    run.fail(echo, "uvloop", 1, "once")
    assert not run.needs(echo, "uvloop", 1)
    assert run.needs(echo, "uvloop", 2)
    run.fail(echo, "uvloop", 2, "twice")
    assert not run.needs(echo, "uvloop", 3)


def test_report_and_pictures_show_losses(bench: SimpleNamespace) -> None:
    """The name of a workload that ferroloop loses is red, and in the summary; what was not measured says so."""
    lost, won = Row("call_soon/<lost>"), Row("call_soon/won")
    figures: dict[tuple[Row, str], list[float]] = {
        (lost, "uvloop"): [10], (lost, "ferroloop"): [5], (won, "uvloop"): [10], (won, "ferroloop"): [50],
    }  # fmt: skip
    results = measured(bench, figures)
    text = bench.report.markdown(results, ["a machine"])
    assert "Behind uvloop: call_soon/<lost>, 0.50." in text
    assert "| call_soon/won | /s | 10 (1.00) | 50 (5.00) | 5.00 (uvloop) |" in text
    assert "| not measured |" in text
    picture = ElementTree.fromstring(bench.plot.pictures(results)["scheduling"])
    labels = {element.text: element.get("fill") for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert labels["call_soon/<lost>"] != labels["call_soon/won"] == "#000"


def test_training_ends() -> None:
    """What `make wheels` runs: every workload that it is made of, and no complaint."""
    training = [sys.executable, BENCH / "training.py", "0.01"]
    done = subprocess.run(training, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
