"""ResourceWarnings of objects that were dropped without being closed."""

import contextlib
import gc
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def unclosed(start: str, source: bool = True) -> Iterator[None]:
    """Inside, exactly one object dies with a ResourceWarning that starts so (S0.9).

    Other warnings are ignored: in a cycle a transport's own socket may be finalised before it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    found = [w for w in caught if str(w.message).startswith(start)]
    texts = [str(w.message) for w in caught]
    assert len(found) == 1, texts
    assert found[0].category is ResourceWarning
    assert (found[0].source is not None) is source
    found.clear()
    caught.clear()
    gc.collect()
