"""Sound inside a worker: framing, decoding, encoding, and what keeps it without gaps."""
