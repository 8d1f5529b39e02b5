"""Messages of sizes that lie on both sides of whatever a loop may decide by size."""

_SIZES = (0, 100_000, 100_000, 3, 16_383, 16_384, 16_385, 200_000, 150_000, 122_880, 122_881, 122_879, 65_536, 2)


def varied_messages() -> list[bytes]:
    """Messages of 1 byte to 200 kB, no two alike, each within what a pipe or a socket can be made to hold."""
    return [bytes([number]) * 7 + bytes(range(256)) * (size // 256) for number, size in enumerate(_SIZES)]
