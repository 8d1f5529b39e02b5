"""Dask distributed: scheduler, worker and client, each a process on ferroloop."""

import subprocess
import sys

PROGRAM = """
import asyncio
from distributed import Client, LocalCluster, get_worker

def which():
    return type(get_worker().loop.asyncio_loop).__module__.partition(".")[0]

def square(x):
    return x * x

async def main():
    async with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, asynchronous=True,
                            dashboard_address=None) as cluster, Client(cluster, asynchronous=True) as client:
        futures = client.map(square, range(1000))
        print(sum(await client.gather(futures)))
        print(await client.submit(which), type(asyncio.get_running_loop()).__module__.partition(".")[0])

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_cluster() -> None:
    command = [sys.executable, "-m", "ferroloop", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    total = sum(x * x for x in range(1000))
    assert done.stdout.split() == [str(total), "ferroloop", "ferroloop"], done.stderr
