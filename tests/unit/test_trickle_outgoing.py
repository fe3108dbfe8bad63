from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from comfytrickle.trickle.channel_http import segment_url
from comfytrickle.trickle.outgoing import Outgoing


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=8), st.integers(0, 50))
def test_the_rest_is_what_follows_the_offset(chunks: list[bytes], offset: int) -> None:
    outgoing = Outgoing()
    for chunk in chunks:
        outgoing.append(chunk)
    whole = b"".join(chunks)
    offset = min(offset, len(whole))
    assert outgoing.size == len(whole)
    assert outgoing.rest(offset) == whole[offset:]
    index, skip = outgoing.find(offset)
    assert sum(map(len, chunks[:index])) + skip == offset


def test_segment_urls_keep_encoding_and_query() -> None:
    assert str(segment_url(URL("http://h:1/a/c%2Fd/?token=x%26y", encoded=True), 7)) == (
        "http://h:1/a/c%2Fd/7?token=x%26y"
    )
    assert str(segment_url(URL("http://h:1/c"), "next")) == "http://h:1/c/next"
    assert str(segment_url(URL("http://h:1/c"), -1)) == "http://h:1/c/-1"
