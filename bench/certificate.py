"""The certificate of the TLS servers, and the authority that their clients trust."""

import functools
import tempfile
from pathlib import Path

AUTHORITY, SERVER = "authority.pem", "server.pem"


def made(name: str) -> str:
    """The path of a PEM file, which lasts as long as this process."""
    return str(Path(_directory().name) / name)


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    # Imported here: only the TLS workloads need it.
    import trustme

    directory = tempfile.TemporaryDirectory()
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(str(Path(directory.name) / AUTHORITY))
    server = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    server.private_key_and_cert_chain_pem.write_to_path(str(Path(directory.name) / SERVER))
    return directory
