"""Dask's distributed: a LocalCluster of processes whose event loops are ours, too."""

import asyncio
import warnings
from typing import Any

import ferroloop
from common import check_loop, run, wanted
from distributed import Client, LocalCluster

# distributed takes the loops of its processes from the policy, and each of them imports this module first.
if wanted() == "ferroloop":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ferroloop.install()

BLOB = bytes(range(256)) * 10_000


async def loop_of_worker() -> str:
    kind = type(asyncio.get_running_loop())
    check_loop(kind)
    return kind.__module__


def square(number: int) -> int:
    return number * number


async def main(places: dict[str, Any]) -> None:
    address = {"host": "127.0.0.1", "dashboard_address": None}
    async with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, asynchronous=True, **address) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        await client.wait_for_workers(2)
        loops = await client.run(loop_of_worker)
        assert len(loops) == 2
        assert all(name.startswith(wanted()) for name in loops.values()), loops
        squares = client.map(square, range(500))
        assert await client.submit(sum, squares) == sum(map(square, range(500)))
        scattered = await client.scatter([BLOB] * 4)
        assert await client.gather(client.map(len, scattered)) == [len(BLOB)] * 4
        assert await client.gather(scattered) == [BLOB] * 4
        failing = client.submit(square, "text")
        assert isinstance(await failing.exception(), TypeError)


if __name__ == "__main__":
    run(main)
