"""As on a machine whose torchaudio does not fit its torch."""

raise OSError("libtorchaudio.so: undefined symbol")
