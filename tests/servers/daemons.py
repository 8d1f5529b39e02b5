"""PostgreSQL, Redis and nginx on the loopback, each for as long as a `with` block lasts."""

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Seconds until a server answers, and until it has ended.
PATIENCE = 30


def find(command: str) -> str | None:
    """The path of a command; Debian keeps PostgreSQL's off the PATH."""
    places = [*os.get_exec_path(), "/usr/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return shutil.which(command, path=os.pathsep.join(places))


@contextlib.contextmanager
def postgres(data: Path) -> Iterator[dict[str, Any]]:
    """A cluster that takes connections with and without TLS."""
    # It refuses to run as root.
    root = os.geteuid() == 0
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    directory, port = data / "postgres", free_port()
    directory.mkdir(mode=0o700)
    shutil.copytree(data / "keys", directory / "keys")
    if user:
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, "postgres", "postgres")
    cluster = directory / "cluster"
    command: list[Any] = [
        find("initdb"),
        "-D",
        str(cluster),
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
        "--encoding=UTF8",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=directory, **user)
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(directory),
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": str(directory / "keys" / "server.pem"),
        "ssl_key_file": str(directory / "keys" / "server.key"),
    }
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [find("postgres"), "-D", str(cluster), "-p", str(port), *arguments]
    with running(command, data / "postgres.log", port, cwd=directory, **user):
        yield {"port": port, "user": "postgres", "database": "postgres"}


@contextlib.contextmanager
def redis(data: Path) -> Iterator[dict[str, Any]]:
    """A server with a port for TLS beside the plain one; nothing is stored."""
    (data / "redis").mkdir()
    port, tls_port = free_port(), free_port()
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "tls-port": tls_port,
        "tls-cert-file": data / "keys" / "server.pem",
        "tls-key-file": data / "keys" / "server.key",
        "tls-ca-cert-file": data / "keys" / "ca.pem",
        "tls-auth-clients": "no",
        "dir": data / "redis",
        "save": "",
    }
    arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with running([find("redis-server"), *arguments], data / "redis.log", port):
        yield {"port": port, "tls_port": tls_port}


_NGINX = """
daemon off;
worker_processes 1;
{user}
pid {home}/pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {keys}/server.pem;
        ssl_certificate_key {keys}/server.key;
        root {home}/root;
        location /upload/ {{ dav_methods PUT; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(data: Path) -> Iterator[dict[str, Any]]:
    """A server of `root` over HTTP and HTTPS, which takes uploads there."""
    home = data / "nginx"
    root = home / "root"
    (root / "upload").mkdir(parents=True)
    port, tls_port = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(home=home, keys=data / "keys", port=port, tls_port=tls_port, user=user)
    (home / "nginx.conf").write_text(text)
    command = [find("nginx"), "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"]
    with running(command, data / "nginx.log", port):
        yield {"port": port, "tls_port": tls_port, "root": str(root)}


@contextlib.contextmanager
def running(command: list[Any], log: Path, port: int, **options: Any) -> Iterator[None]:
    """A process that answers on the port, until it is told to end. Raises RuntimeError with its log if it does not."""
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **options)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """Have the process end, by force if it must be."""
    process.send_signal(signal.SIGINT)  # for all three: without waiting for the clients
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
