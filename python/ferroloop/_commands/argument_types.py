"""Types of arguments that several commands take, for `argparse`, which names them in its messages."""

import argparse
import math


def number(text: str) -> int:
    """A number of things, or of a process."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def seconds(text: str) -> float:
    """A time."""
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("more than 0")
    return value
