"""Which engine encrypts and decrypts: OpenSSL called directly, or the methods of `ssl.SSLObject`."""

from __future__ import annotations

from ._environment import default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from ._loop import EventLoop

    Engine: TypeAlias = Literal["direct", "portable"]

_ENGINES: dict[str, Engine] = {"direct": "direct", "portable": "portable"}


def set_tls_engine(loop: EventLoop, engine: Engine) -> None:
    """Choose what encrypts and decrypts on connections whose handshake is still to come.

    "direct", the default, is OpenSSL itself, called for the very connection that the `ssl.SSLObject` holds; where it
    cannot be had safely, a connection uses the other engine, and says why in debug mode. "portable" is the SSLObject's
    Python methods alone. Nothing else differs. New loops begin with what the environment variable FERROLOOP_TLS_ENGINE
    said when ferroloop was imported.

    Raises ValueError for another name.
    """
    loop._tls_engine = _known_engine(engine)


def get_tls_engine(loop: EventLoop) -> Engine:
    """Return "direct" or "portable"."""
    return loop._tls_engine


def _known_engine(name: str) -> Engine:
    if name not in _ENGINES:
        raise ValueError(f"a TLS engine is 'direct' or 'portable', got {name!r}")
    return _ENGINES[name]


DEFAULT_ENGINE = default("FERROLOOP_TLS_ENGINE", _known_engine, "direct")
