"""The pinned test dependencies can be installed on every Python that webdemo supports."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.specifiers import SpecifierSet

OLDEST = "3.11.0"
PINS = Path(__file__).with_name("constraints.txt").read_text("utf-8").splitlines()


def _requires_python(name: str) -> str:
    try:
        return "".join(distribution(name).metadata.get_all("Requires-Python", []))
    except PackageNotFoundError:  # an optional one, such as Atheris
        return ""


def test_each_pinned_package_accepts_the_oldest_python() -> None:
    pins = {pin: _requires_python(pin.split("==")[0]) for pin in PINS if "==" in pin}
    assert len(pins) > 50
    assert {pin: needs for pin, needs in pins.items() if not SpecifierSet(needs).contains(OLDEST)} == {}
