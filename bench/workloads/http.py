"""HTTP: uvicorn with httptools answers a fixed text."""

from served import Served
from servers.hello import BODY

WORKLOADS = (Served("http/uvicorn plaintext", "hello", ("http", "--connections", "32", "--body", BODY), unit="req/s"),)
