"""What a browser makes of a page, at several widths, light and dark."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")

# Each page is in a frame of a width, and tells the page around it what it looks like.
LOOK = """
<script>
addEventListener("load", () => setTimeout(() => {
  const page = document.scrollingElement;
  const wide = [...document.body.querySelectorAll("*")].filter(
    (e) => e.getBoundingClientRect().right > innerWidth + 1 && e.getBoundingClientRect().width > 0);
  const missing = [...document.links].map((a) => a.getAttribute("href")).filter(
    (to) => to.startsWith("#") && to.length > 1 && !document.getElementById(decodeURIComponent(to.slice(1))));
  parent.postMessage({
    frame: name, width: innerWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches,
    paper: getComputedStyle(document.body).backgroundColor,
    overflow: page.scrollWidth - innerWidth, widest: wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120)),
    broken: [...document.images].filter((i) => !i.naturalWidth).map((i) => i.getAttribute("src")),
    links: [...document.links].map((a) => a.getAttribute("href")), missing,
    figures: document.querySelectorAll("svg").length,
  }, "*");
}, 200));
</script>
"""
FRAME = '<iframe name="{name} {width}" width="{width}" height="800" src="{page}"></iframe>'
AROUND = """<!doctype html><body>{frames}<pre id="found"></pre><script>
const found = {{}};
addEventListener("message", ({{data}}) => {{
  found[data.frame] = data;
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body>"""


@dataclasses.dataclass(frozen=True)
class Look:
    """What a page looks like in a window.

    Attributes:
        width: of the window, in pixels.
        dark: whether dark colours are preferred.
        paper: the colour behind the text.
        overflow: by how many pixels the page is wider than the window.
        widest: elements that reach beyond it, in themselves or on the page.
        broken: pictures that are not there.
        links: where links lead.
        missing: parts of the page that are linked and not there.
        figures: drawings in it.
    """

    width: int
    dark: bool
    paper: str
    overflow: int
    widest: list[str]
    broken: list[str]
    links: list[str]
    missing: list[str]
    figures: int


def look(
    pages: Mapping[str, Path], folder: Path, widths: tuple[int, ...], dark: bool
) -> dict[tuple[str, int], Look]:
    """Opens pages by name in frames of some widths; writes beside each page, and into a folder."""
    frames = []
    for name, path in pages.items():
        watched = path.with_name(f"{path.stem}.watched.html")
        watched.write_text(path.read_text() + LOOK)
        frames += [FRAME.format(name=name, width=width, page=watched.as_uri()) for width in widths]
    around = folder / "around.html"
    around.write_text(AROUND.format(frames="".join(frames)))
    command = [
        BROWSER,
        *"--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --dump-dom".split(),
        *"--disable-background-networking --virtual-time-budget=20000".split(),
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        around.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    looks = {}
    for data in json.loads(html.unescape(text)).values():
        name, width = data.pop("frame").rsplit(" ", 1)
        looks[name, int(width)] = Look(**data)
    return looks
