"""`python -m ferroloop`."""

from ._launcher import main

main()
