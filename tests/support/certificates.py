"""Certificates made for this run: an authority, and contexts of both sides that trust it."""

import functools
import ssl

import trustme

HOST = "localhost"


@functools.cache
def authority() -> trustme.CA:
    """The authority of this run; its key lives in memory alone."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@functools.cache
def _certificate(name: str) -> trustme.LeafCert:
    return authority().issue_cert(name, key_type=trustme.KeyType.ECDSA)


def server_context(name: str = HOST, ask_client: bool = False) -> ssl.SSLContext:
    """A server called `name`; with `ask_client` clients must show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _certificate(name).configure_cert(context)
    if ask_client:
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(name: str | None = None) -> ssl.SSLContext:
    """A client that verifies servers, and is called `name` itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if name is not None:
        _certificate(name).configure_cert(context)
    return context


def stranger_context() -> ssl.SSLContext:
    """A client that trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
