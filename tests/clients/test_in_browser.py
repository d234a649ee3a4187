"""Chromium against a served folder: modules, WebAssembly, seeking in audio, listings."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import accessibility_violations, horizontal_overflow, in_looks, watch
from tests.clients.serving import Served

pytestmark = pytest.mark.browser

Serve = Callable[[Path], Served]

# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
ADDING_WASM = bytes.fromhex(
    "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b"
)
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>test</title><link rel="icon" href="icon.svg">
<p id="result">waiting</p>
<script type="module">
  import { add } from "./wasm.mjs";
  document.getElementById("result").textContent = await add(20, 22);
</script></html>"""
MODULE = """export async function add(a, b) {
  const { instance } = await WebAssembly.instantiateStreaming(fetch("add.wasm"));
  return instance.exports.add(a, b);
}"""
SOUND_SECONDS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "wasm.mjs").write_text(MODULE)
    (tmp_path / "add.wasm").write_bytes(ADDING_WASM)
    (tmp_path / "icon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return tmp_path


def test_modules_and_webassembly_load(serve: Serve, folder: Path, page: Page) -> None:
    complaints = watch(page)
    page.goto(serve(folder).url)
    page.wait_for_function("document.getElementById('result').textContent === '42'")
    assert complaints == []


def test_sound_can_be_wound_forward(serve: Serve, folder: Path, page: Page) -> None:
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(bytes(44100 * 4 * SOUND_SECONDS))
    url = serve(folder).url
    ranges: list[str] = []
    page.on(
        "response",
        lambda answer: (
            ranges.append(answer.headers.get("content-range", "")) if answer.status == 206 else None
        ),
    )
    page.goto(url)
    at = page.evaluate(
        """async (url) => {
            const sound = new Audio(url);
            sound.preload = "metadata";
            const event = (name) => new Promise((done, fail) => {
                sound.addEventListener(name, done, { once: true });
                sound.addEventListener("error", () => fail(new Error(sound.error.message)), { once: true });
            });
            const loaded = event("loadedmetadata");
            sound.load();
            await loaded;
            const sought = event("seeked");
            sound.currentTime = sound.duration - 5;
            await sought;
            return [sound.duration, sound.currentTime];
        }""",
        f"{url}/sound.wav",
    )
    assert at == [SOUND_SECONDS, SOUND_SECONDS - 5]
    assert any(not field.startswith("bytes 0-") for field in ranges), ranges


@pytest.mark.parametrize(
    "server",
    ["waitress", *(pytest.param(name, marks=pytest.mark.deep) for name in ("werkzeug", "gunicorn"))],
    indirect=True,
)  # which changes nothing of how a page looks
@in_looks(360, 1600)
def test_a_listing_reads_well(
    serve: Serve, folder: Path, open_page: Callable[..., Page], width: int, color_scheme: Any
) -> None:
    listed = folder / "listed" / "inner"
    (listed / "folder").mkdir(parents=True)
    for number in range(30):
        (
            listed / f"file {number} with a name that is long enough to need more than one line.txt"
        ).write_bytes(bytes(number**4))
    (listed / ("n" * 200)).touch()
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=color_scheme)
    complaints = watch(page)
    page.goto(f"{serve(folder).url}/listed/inner/")
    assert horizontal_overflow(page) == []
    assert accessibility_violations(page) == []
    page.get_by_role("link", name="Size").click()
    assert page.locator("th[aria-sort]").text_content() == "Size"
    page.get_by_role("link", name="Parent folder").click()
    assert page.url.endswith("/listed/")
    assert complaints == []
