"""Certificates for this run alone: an authority, a server called localhost, a client."""

from pathlib import Path

import trustme


def make(directory: Path) -> None:
    """Write ca.pem, and the key and certificate of `server` and `client`."""
    directory.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaves = {"server": authority.issue_cert("localhost", "127.0.0.1"), "client": authority.issue_cert("client")}
    for name, leaf in leaves.items():
        leaf.private_key_pem.write_to_path(directory / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    for key in directory.glob("*.key"):
        key.chmod(0o600)
