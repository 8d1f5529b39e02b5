"""What OpenSSL can do and Python's ssl has no words for."""

import _ssl
import ctypes
import ssl

# <openssl/ssl.h>
_UPDATE_REQUESTED = 1


def update_keys(tls: ssl.SSLObject) -> None:
    """Have the next write announce new keys, and ask the peer for its own (RFC 8446, 4.6.3)."""
    library = ctypes.CDLL(_ssl.__file__)
    update = library.SSL_key_update
    update.argtypes, update.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
    # An object's header, then its socket (none) and its SSL.
    header = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    address = ctypes.c_void_p.from_address(id(tls._sslobj) + header)  # type: ignore[attr-defined]
    assert update(address, _UPDATE_REQUESTED) == 1
