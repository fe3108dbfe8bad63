"""extra_model_paths.yaml. JSON is YAML too, and needs no package."""

import json
from pathlib import Path

import folder_paths


def load_extra_path_config(yaml_path):
    file = Path(yaml_path)
    for section in json.loads(file.read_text(encoding="utf-8")).values():
        base = file.parent / section.pop("base_path", "")
        for name, lines in section.items():
            for line in filter(None, lines.split("\n")):
                folder_paths.add_model_folder_path(name, str(base / line))
