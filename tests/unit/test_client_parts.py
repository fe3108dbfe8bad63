"""The client's pure parts: requests, lines and events, pictures, frames."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfytrickle import calls
from comfytrickle.client import Event, Picture, Refused
from comfytrickle.client.ended import ended
from comfytrickle.client.sent_frame import frame_message
from comfytrickle.client.server_events import Events, Lines
from comfytrickle.client.workflow_file import read_workflow
from comfytrickle.errors import InvalidInput
from comfytrickle.frame_message import MARKED, MAX_PAYLOAD, Header, Kind, Side, check_sent

# --- requests -------------------------------------------------------------------------------------


def test_ids_are_quoted_and_what_is_not_asked_for_is_left_out() -> None:
    assert calls.status("a/b c").path == "/stream/a%2Fb%20c/status"
    assert calls.status(None).path == "/stream/status"
    assert calls.stop("a", 2.5).path == "/stream/a/stop?wait=2.5"
    assert calls.logs("a").path == "/stream/a/logs?tail=200"
    assert calls.logs("a", 5, follow=True).path == "/stream/a/logs?tail=5&follow=1"
    assert calls.streams().path == "/streams" and calls.streams(True).path == "/streams?all=1"
    assert (
        calls.frames("a", "in", 15.0, None, 80).path == "/stream/a/frames?side=in&fps=15&quality=80"
    )
    assert calls.camera("a").path == "/stream/a/frames?side=none&send=1"
    assert calls.camera("a", end=True).path == "/stream/a/frames?side=none&send=1&end=1"
    assert calls.nodes("comfy ui").path == "/nodes?engine=comfy+ui"


def test_a_start_has_its_urls_beside_its_params() -> None:
    call = calls.start({"width": 64}, "x", subscribe_url="http://h/in", publish_url=None)
    assert (call.method, call.path) == ("POST", "/stream/start")
    assert call.body == {
        "subscribe_url": "http://h/in",
        "publish_url": None,
        "gateway_request_id": "x",
        "params": {"width": 64},
    }


def test_this_machine_is_asked_without_a_proxy() -> None:
    assert calls.is_local("http://localhost:1/x") and calls.is_local("http://[::1]:1")
    assert not calls.is_local("https://pool.example") and not calls.is_local("nonsense")


def test_a_refusal_says_all_that_the_server_said() -> None:
    body = {"error": "no", "field": "", "node_errors": {"2": {}}, "quarantine": {"digest": "d"}}
    error = Refused(400, body, 3.0)
    assert (str(error), error.status, error.field, error.retry_after) == ("no", 400, "", 3.0)
    assert error.node_errors == {"2": {}} and error.story == {"digest": "d"}
    bare = Refused(502, calls.error_body(b"<html>"))
    assert (str(bare), bare.field, bare.node_errors, bare.story) == ("HTTP 502", None, {}, None)
    assert calls.error_body(b"[1]") == {}


def test_how_a_stream_ended_is_told_by_what_is_known() -> None:
    status = {"request_id": "a", "state": "exited", "exit_cause": "signalled", "last_error": None}
    assert str(ended(status)) == "stream 'a' has ended: signalled"
    status["last_error"] = {"message": "the node fell over"}  # type: ignore[assignment]
    error = ended(status)
    assert str(error) == "stream 'a' has ended: the node fell over" and error.status == status


def test_a_workflow_is_a_file_or_itself(tmp_path: Path) -> None:
    workflow = {"1": {"class_type": "LoadTensor", "inputs": {}}}
    file = tmp_path / "w.json"
    file.write_text("\ufeff" + json.dumps(workflow), encoding="utf-8")
    assert read_workflow(file) == read_workflow(str(file)) == read_workflow(workflow) == workflow
    assert read_workflow(None) is None
    file.write_text("{")
    with pytest.raises(ValueError, match=r"w\.json: not JSON"):
        read_workflow(file)
    with pytest.raises(FileNotFoundError):
        read_workflow(tmp_path / "none.json")


# --- lines and events -----------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    raw = "".join(line + end for line in lines).encode() + b"rest"
    reader, out = Lines(), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        out += reader.feed(raw[:size])
        raw = raw[size:]
    assert out == lines
    assert reader.rest() == ["rest"] and reader.rest() == []


def test_events_comments_and_fields() -> None:
    events = Events()
    text = (
        'event: state\ndata: {"a":\ndata: 1}\n\n: still here\n\nid: 7\nevent: health\ndata:{}\n\n'
        "event: empty\n\ndata: 2\n\n"
    )
    found = [event for line in text.split("\n") if (event := events.feed(line)) is not None]
    assert found == [Event("state", {"a": 1}), Event("health", {}), Event("message", 2)]
    events.feed("data: {")
    with pytest.raises(ValueError):
        events.feed("")


# --- pictures and frames --------------------------------------------------------------------------


def jpeg(rgb: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def test_a_picture_of_a_message() -> None:
    rgb = np.full((24, 32, 3), (200, 100, 50), np.uint8)
    header = Header(Kind.JPEG, Side.BOTH, 9, 32, 24, pts=-1, time=0.0, flags=MARKED)
    picture = Picture.parse(header.pack() + jpeg(rgb), 5.0)
    assert (picture.side, picture.seq, picture.pts, picture.time) == ("both", 9, None, None)
    assert (picture.width, picture.height, picture.marked, picture.received) == (32, 24, True, 5.0)
    shown = picture.rgb()
    assert shown.shape == (24, 32, 3) and shown.dtype == np.uint8
    assert np.abs(shown.astype(int) - rgb).max() <= 3
    shown[0, 0] = 0  # nobody else's
    assert picture._repr_jpeg_() == picture.jpeg == jpeg(rgb)
    assert "jpeg" not in repr(picture)
    plain = Picture.parse(Header(1, 0, 0, 32, 24, 3000, 7.5).pack() + jpeg(rgb), 8.0)
    assert (plain.side, plain.pts, plain.time, plain.marked) == ("in", 3000, 7.5, False)


@pytest.mark.parametrize(
    "message",
    [b"", b"CTF1", b"x" * 44, Header(Kind.RAW, 0, 0, 1, 1).pack(), Header(1, 3, 0, 1, 1).pack()],
)
def test_what_is_no_picture_is_said(message: bytes) -> None:
    with pytest.raises(InvalidInput):
        Picture.parse(message, 0.0)


def test_a_frame_is_sent_as_the_server_reads_it() -> None:
    rgb = np.arange(16 * 20 * 3, dtype=np.uint8).reshape(16, 20, 3)
    message = frame_message(rgb, 7, 3000, 1.5)
    header = check_sent(message)
    assert (header.kind, header.width, header.height) == (Kind.RAW, 20, 16)
    assert (header.seq, header.pts, header.time) == (7, 3000, 1.5)
    assert message[44:] == rgb.tobytes()
    mirrored = rgb[:, ::-1]  # rows run backwards in memory
    assert frame_message(mirrored, 0, None, 0.0)[44:] == mirrored.tobytes()
    data = jpeg(rgb)
    for same in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        message = frame_message(same, 1, None, 2.0)
        header = check_sent(message)
        assert (header.kind, header.width, header.height, header.pts) == (Kind.JPEG, 20, 16, -1)
        assert message[44:] == data


@pytest.mark.parametrize(
    "frame",
    [
        "text",
        None,
        np.zeros((16, 16), np.uint8),
        np.zeros((16, 16, 4), np.uint8),
        np.zeros((16, 16, 3), np.float32),
        np.zeros((1, 16, 16, 3), np.uint8),
    ],
    ids=str,
)
def test_what_is_no_frame_is_not_sent(frame: object) -> None:
    with pytest.raises(TypeError, match="a frame is a JPEG's bytes or uint8"):
        frame_message(frame, 0, None, 0.0)  # type: ignore[arg-type]


def test_a_frame_that_would_end_the_connection_is_not_sent() -> None:
    with pytest.raises(ValueError, match="too large"):
        frame_message(bytes(MAX_PAYLOAD + 1), 0, None, 0.0)
