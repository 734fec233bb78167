"""The wheel as a package index reads it: metadata, README, licences and files."""

from __future__ import annotations

import email
import email.message
import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from glmv_emulator import samples

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.com/someone/glmv"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def links(markdown: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", markdown)


def test_the_readme_in_the_wheel_has_no_relative_links(metadata: email.message.Message) -> None:
    readme = str(metadata.get_payload())
    assert readme.startswith("# glmv")
    assert [target for target in links(readme) if not target.startswith(("https://", "http://", "#"))] == []


def test_the_wheel_has_project_urls_only_if_the_repository_address_is_known(metadata: email.message.Message) -> None:
    known = PROJECT["tool"]["glmv"]["repository"]
    urls = metadata.get_all("Project-URL") or []
    assert bool(urls) == bool(known)
    assert [url for url in urls if known not in url] == []


def test_all_urls_of_the_package_are_made_from_the_repository_address() -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "package_readme.py"))
    assert hook["urls"]("") == {}
    made = hook["urls"](ADDRESS)
    assert made["Repository"] == ADDRESS
    assert [url for url in made.values() if not url.startswith(ADDRESS)] == []
    files = [re.sub(r"^.*/(?:blob|tree)/main/", "", url) for url in made.values() if "/main/" in url]
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_listed_versions_of_python_have_no_gap(metadata: email.message.Message) -> None:
    matches = [
        re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in metadata.get_all("Classifier")
    ]
    minors = [int(found[1]) for found in matches if found]
    assert minors == list(range(11, minors[-1] + 1))
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_metadata_names_the_maintainers_and_the_licence(metadata: email.message.Message) -> None:
    assert metadata["Maintainer"] == "glmv maintainers"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "LICENSE" in metadata.get_all("License-File")


def test_the_wheel_holds_the_sample_pictures_and_their_licences(wheel: zipfile.ZipFile) -> None:
    for name in samples.NAMES:
        assert wheel.read(f"glmv_emulator/sample_pictures/{name}") == samples.picture(name).read_bytes()
    licences = wheel.read("glmv_emulator/sample_pictures/LICENSES.md").decode()
    assert [name for name in samples.NAMES if name.endswith(".jpg") and f"`{name}`" not in licences] == []


def test_every_package_in_the_wheel_has_a_py_typed_file(wheel: zipfile.ZipFile) -> None:
    packages = {name.split("/")[0] for name in wheel.namelist() if name.endswith("/__init__.py")} - {"llama_index"}
    assert {name.split("/")[0] for name in wheel.namelist() if name.endswith("/py.typed")} >= packages


def test_the_classes_named_in_the_metadata_for_llamahub_exist() -> None:
    hub = PROJECT["tool"]["llamahub"]
    module = pytest.importorskip(hub["import_path"])
    assert [name for name in hub["class_authors"] if not hasattr(module, name)] == []


def test_the_first_version_in_the_changelog_is_the_version_of_glmv() -> None:
    import glmv

    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", text, re.MULTILINE)
    assert versions[0] == glmv.__version__
    assert versions == sorted(versions, key=lambda version: [int(part) for part in version.split(".")], reverse=True)
