"""Values out of request bodies, read leniently: different callers write the same thing in different
ways.

Pure. What cannot be meant is refused with InvalidInput that names the field and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from comfytrickle.errors import InvalidInput

MAX_ID = 200  # characters
MAX_URL = 4096
ID_KEYS = ("stream_id", "gateway_request_id", "request_id", "manifest_id")

_POSITION = re.compile(r"\(byte (\d+)\)")


def decode_json(data: bytes | str, field: str = "") -> Any:
    """Any JSON value. Raises InvalidInput that says at which line and column reading stopped."""
    raw = data.encode() if isinstance(data, str) else data
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # some Windows tools write a byte order mark
    try:
        raw.decode()  # msgspec's own report counts from the start of the string it is in
        return msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        raise InvalidInput(field, f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise InvalidInput(field, "nested too deeply") from error
    except msgspec.DecodeError as error:
        found = _POSITION.search(str(error))
        at = int(found.group(1)) if found else len(raw)
        before = raw[:at]
        line = before.count(b"\n") + 1
        column = at - (before.rfind(b"\n") + 1) + 1
        what = _POSITION.sub("", str(error)).strip().removeprefix("JSON is malformed: ")
        raise InvalidInput(
            field, f"not valid JSON at line {line}, column {column}: {what}"
        ) from error


def decode_object(data: bytes) -> dict[str, Any]:
    """A request's body as an object. Raises InvalidInput."""
    if not data.strip():
        raise InvalidInput("", "the body is empty; a JSON object is expected")
    value = decode_json(data)
    if not isinstance(value, dict):
        raise InvalidInput("", f"the body is {_kind(value)}; a JSON object is expected")
    return value


def nested_object(body: Mapping[str, Any], key: str, where: str = "") -> dict[str, Any]:
    """An object, the same as a JSON string, or nothing (absent, null, "")."""
    value = body.get(key)
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = decode_json(value, where + key)
    if not isinstance(value, dict):
        raise InvalidInput(where + key, f"must be an object, not {_kind(value)}")
    return value


def stream_id(
    path: str | None = None, header: str | None = None, body: Mapping[str, Any] | None = None
) -> str | None:
    """The first id found: path, header X-Stream-Id, then the body's keys in ID_KEYS' order."""
    return next(_stream_ids(path, header, body), None)


def stream_ids(header: str | None = None, body: Mapping[str, Any] | None = None) -> list[str]:
    """All that there are, in the same order. Raises InvalidInput."""
    return list(_stream_ids(None, header, body))


def _stream_ids(
    path: str | None, header: str | None, body: Mapping[str, Any] | None
) -> Iterator[str]:
    candidates: list[tuple[str, Any]] = [("path", path), ("X-Stream-Id", header)]
    candidates += [(key, (body or {}).get(key)) for key in ID_KEYS]
    for source, value in candidates:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise InvalidInput(source, f"an id is a string, not {_kind(value)}")
        if len(value) > MAX_ID or not value.isprintable() or value.isspace():
            raise InvalidInput(source, f"an id has 1 to {MAX_ID} printable characters")
        yield value


def url(body: Mapping[str, Any], key: str) -> str | None:
    """An http or https URL with a host; absent, null and "" mean none."""
    value = body.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(key, f"must be a URL, not {_kind(value)}")
    value = value.strip()
    if len(value) > MAX_URL:
        raise InvalidInput(key, f"is longer than {MAX_URL} characters")
    if not value.isprintable() or " " in value:
        raise InvalidInput(key, "contains a space or a control character")
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(key, f"is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput(key, f"must be http:// or https:// with a host, not {value[:80]!r}")
    return value


def integer(values: Mapping[str, Any], key: str, low: int, high: int, where: str) -> int | None:
    """An int, a whole float, or a numeric string, in low..high; absent, null, "" mean none."""
    number = real(values, key, low, high, where)
    if number is None:
        return None
    if number != int(number):
        raise InvalidInput(where + key, f"must be a whole number, not {values[key]!r}")
    return int(number)


def real(
    values: Mapping[str, Any], key: str, low: float, high: float, where: str
) -> float | int | None:
    """A number or a numeric string in low..high; absent, null and "" mean none."""
    value = values.get(key)
    if value is None or value == "":
        return None
    field = where + key
    number: float | int
    if isinstance(value, str):
        try:
            number = int(value) if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value) else float(value)
        except ValueError as error:
            raise InvalidInput(field, f"must be a number, not {value[:40]!r}") from error
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    else:
        raise InvalidInput(field, f"must be a number, not {_kind(value)}")
    if not low <= number <= high:  # also refuses NaN
        raise InvalidInput(field, f"must be from {low} to {high}, not {str(value)[:40]}")
    return number


def one_of(values: Mapping[str, Any], key: str, allowed: tuple[str, ...], where: str) -> str | None:
    value = values.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or value not in allowed:
        raise InvalidInput(
            where + key, f"must be one of {', '.join(allowed)}, not {str(value)[:40]!r}"
        )
    return value


def name(values: Mapping[str, Any], key: str, where: str) -> str | None:
    """A string; absent, null and "" mean none."""
    value = values.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(where + key, f"must be a name, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
