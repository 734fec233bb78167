"""The page about licences agrees with pyproject.toml and with the wheels that are installed here."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "licences.md").read_text("utf-8")
ROWS = {row[0]: "|".join(row[1:]) for row in re.findall(r"^\| `([\w-]+)` \|(.*)\|(.*)\|$", PAGE, re.MULTILINE)}
# A library that wheels bring -> how the page names it. All are under the GPL or the LGPL.
COPYLEFT = {
    "x264": "x264",
    "x265": "x265",
    "avcodec": "FFmpeg",
    "mp3lame": "LAME",
    "gnutls": "GnuTLS",
    "nettle": "Nettle",
    "gmp": "GMP",
    "heif": "libheif",
    "de265": "libde265",
    "geos": "GEOS",
}
WHEELS = {"av": "video", "pillow-heif": "heic", "pillow": "images", "opencv-python-headless": "eyes", "shapely": "eyes"}


def test_the_page_about_licences_has_a_row_for_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert list(ROWS) == list(project["optional-dependencies"])


@pytest.mark.parametrize("wheel", WHEELS)
def test_the_page_about_licences_names_every_copyleft_library_in_a_wheel(wheel: str) -> None:
    try:
        names = [path.name for path in files(wheel) or []]
    except PackageNotFoundError:
        pytest.skip("could not import what this extra brings")
    libraries = [found[1] for name in names if (found := re.match(r"lib(x26[45]|de265|mp3lame|[a-z]+)[-_.]", name))]
    inside = {COPYLEFT[library] for library in libraries if library in COPYLEFT}
    assert {library for library in inside if library not in ROWS[WHEELS[wheel]]} == set()
