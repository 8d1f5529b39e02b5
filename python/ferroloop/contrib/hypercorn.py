"""hypercorn on ferroloop: `python -m ferroloop.contrib.hypercorn app:app`, with all of hypercorn's options.

hypercorn's workers are processes that import the main module again, which is this one, and so have ferroloop too.
"""

from .._activate import activate

activate()

if __name__ == "__main__":
    import sys

    from hypercorn.__main__ import main

    sys.exit(main())
