"""HTTP: uvicorn with httptools, and aiohttp, answer a fixed text."""

from served import Served
from servers.hello import BODY

_LOAD = ("http", "--connections", "32", "--body", BODY)

WORKLOADS = (
    Served("http/uvicorn plaintext", "hello", _LOAD, unit="req/s"),
    Served("http/aiohttp plaintext", "aiohttp", _LOAD, unit="req/s"),
)
