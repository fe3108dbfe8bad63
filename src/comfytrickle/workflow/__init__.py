"""The workflow model: API-format graphs, checked for shape and converted for live use. Pure."""
