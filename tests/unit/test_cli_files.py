"""Workflows that come in a picture, and parameters that are none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfytrickle.cli.common import UsageError, read_workflow, set_param
from comfytrickle.cli.main import main
from comfytrickle.cli.picture_files import NoWorkflow, workflow_text

GRAPH: dict[str, Any] = {"1": {"class_type": "LoadTensor", "inputs": {"text": "Käse"}}}


def picture(kind: str = "PNG", **save: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (2, 2)).save(data, kind, **save)
    return data.getvalue()


def png(*, compressed: bool = False, international: bool = False, **texts: str) -> bytes:
    info = PngInfo()
    for keyword, text in texts.items():
        add = info.add_itxt if international else info.add_text
        add(keyword, text, zip=compressed)
    return picture(pnginfo=info)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("international", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_workflow_that_a_png_was_made_by(
    compressed: bool, international: bool, ascii_only: bool
) -> None:
    text = json.dumps(GRAPH, ensure_ascii=ascii_only)
    data = png(compressed=compressed, international=international, workflow="{}", prompt=text)
    assert json.loads(workflow_text(data)) == GRAPH


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(workflow="{}"), "the editor's own format alone"),
        (png(), "is a PNG without a workflow in it"),
        (png(prompt="{}")[:49], "is a PNG without a workflow in it"),
        (picture("JPEG"), "is a JPEG, and only PNGs hold a workflow that can be read"),
        (picture("WEBP"), "is a WebP"),
    ],
)
def test_a_picture_without_one_says_what_to_do(data: bytes, words: str) -> None:
    with pytest.raises(NoWorkflow, match=words) as caught:
        workflow_text(data)
    assert "export the workflow in API format" in str(caught.value)


def test_a_damaged_one_is_no_crash() -> None:
    whole = png(compressed=True, prompt=json.dumps(GRAPH))
    at = whole.index(b"zTXt") + 14
    with pytest.raises(NoWorkflow, match="damaged"):
        workflow_text(whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])


def test_files_as_they_are_named_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.png"
    path.write_bytes(png(prompt=json.dumps(GRAPH)))
    assert read_workflow(str(path)) == GRAPH
    plain = tmp_path / "plain.json"
    plain.write_bytes(b"\xef\xbb\xbf" + json.dumps(GRAPH).encode())
    assert read_workflow(str(plain)) == GRAPH
    for content in (b"{", b"\xff\xfe\x00"):
        plain.write_bytes(content)
        with pytest.raises(UsageError, match=r"plain\.json is not JSON"):
            read_workflow(str(plain))
    path.write_bytes(picture("JPEG"))
    assert main(["validate", str(path), "--url", "http://127.0.0.1:1"]) == 2
    assert f"{path} is a JPEG" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("item", "flag"),
    [
        ("control_url=http://x/c", "--control URL"),
        ("subscribe_url=http://x/c", "--subscribe URL"),
        ("data_url=x", "--data URL"),
        ("stream_id=x", "--id ID"),
        ("prompt={}", "--workflow FILE"),
    ],
)
def test_what_is_no_parameter_points_to_its_flag(item: str, flag: str) -> None:
    with pytest.raises(UsageError, match=f"it is no parameter; start takes it as {flag}"):
        set_param({}, item)
