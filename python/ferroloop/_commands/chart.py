"""Results as bars, on a terminal and as an SVG picture. Lengths are rates relative to asyncio's."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

Ratios = dict[str, dict[str, float]]  # workload -> loop -> rate relative to asyncio's

_BLOCKS = " ▏▎▍▌▋▊▉█"
_WIDTH = 40
_ROW, _BAR, _LEFT, _SVG_WIDTH = 18, 12, 250, 820
_COLOURS = ("#8a8f98", "#4c78a8", "#72b7b2", "#b279a2", "#9d755d", "#e4572e")


def text(ratios: Ratios) -> str:
    """Bars of block characters, a paragraph for each workload."""
    longest = _longest(ratios)
    names = max(len(loop) for loops in ratios.values() for loop in loops)
    paragraphs = []
    for workload, loops in ratios.items():
        lines = [f"{loop:>{names}} {_bar(ratio / longest):<{_WIDTH}} {ratio:.2f}" for loop, ratio in loops.items()]
        paragraphs.append("\n".join([workload, *lines]))
    return "\n\n".join(paragraphs)


def svg(ratios: Ratios, caption: str) -> str:
    """The same as a picture that stands alone."""
    body, height = [], 2 * _ROW
    longest = _longest(ratios)
    loops = list(dict.fromkeys(loop for found in ratios.values() for loop in found))
    for workload, found in ratios.items():
        body.append(_label(_LEFT - 10, height + _BAR, workload, "font-weight='bold' text-anchor='end'"))
        for loop, ratio in found.items():
            colour = _COLOURS[loops.index(loop) % len(_COLOURS)]
            body += _svg_bar(height, loop, ratio, ratio / longest, colour)
            height += _ROW
        height += _ROW // 2
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_SVG_WIDTH} {height}' "
        f"font-family='sans-serif' font-size='12'>"
    )
    background = f"<rect width='{_SVG_WIDTH}' height='{height}' fill='white'/>"
    return "\n".join([head, background, _label(10, _ROW, caption), *body, "</svg>"]) + "\n"


def _svg_bar(top: int, loop: str, ratio: float, part: float, colour: str) -> Iterator[str]:
    width = max(1.0, part * (_SVG_WIDTH - _LEFT - 130))
    yield f"<rect x='{_LEFT}' y='{top}' width='{width:.1f}' height='{_BAR + 2}' fill='{colour}'/>"
    yield _label(_LEFT + width + 6, top + _BAR, f"{ratio:.2f}  {loop}")


def _label(x: float, y: float, words: str, style: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='#222' {style}>{escape(words)}</text>"


def _bar(part: float) -> str:
    """A bar in eighths of a character."""
    full, eighths = divmod(round(part * _WIDTH * 8), 8)
    return "█" * full + _BLOCKS[eighths].strip()


def _longest(ratios: Ratios) -> float:
    return max(ratio for loops in ratios.values() for ratio in loops.values())
