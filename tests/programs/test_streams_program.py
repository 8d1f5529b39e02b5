"""A program on asyncio's streams, unmodified, on ferroloop in every way there is (S50.1, S50.2, S57.1)."""

import pytest
from programs import launch


@pytest.fixture(scope="module")
def expected() -> dict[str, object]:
    """What the program prints on asyncio, but for the loop."""
    result = launch.run(launch.STOCK, "lines")
    assert result.pop("loop") == launch.ASYNCIO
    assert len(result["bulk"]) == 1
    return result


@pytest.mark.parametrize("way", launch.WAYS)
def test_streams(way: str, expected: dict[str, object]) -> None:
    result = launch.run(launch.WAYS[way], "lines")
    assert result == expected | {"loop": launch.FERROLOOP}
