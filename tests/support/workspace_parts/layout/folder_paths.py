"""Where a workspace's files lie."""

from pathlib import Path

_BASE = Path(__file__).resolve().parent

base_path = str(_BASE)
models_dir = str(_BASE / "models")
output_directory = str(_BASE / "output")
temp_directory = str(_BASE / "temp")
input_directory = str(_BASE / "input")
user_directory = str(_BASE / "user")

folder_names_and_paths = {
    "checkpoints": ([str(_BASE / "models" / "checkpoints")], {".safetensors"}),
    "custom_nodes": ([str(_BASE / "custom_nodes")], set()),
}


def set_output_directory(path):
    globals()["output_directory"] = path


def set_temp_directory(path):
    globals()["temp_directory"] = path


def set_input_directory(path):
    globals()["input_directory"] = path


def set_user_directory(path):
    globals()["user_directory"] = path


def get_output_directory():
    return output_directory


def get_temp_directory():
    return temp_directory


def get_input_directory():
    return input_directory


def get_user_directory():
    return user_directory


def add_model_folder_path(name, path, is_default=False):
    paths, _ = folder_names_and_paths.setdefault(name, ([], set()))
    if path not in paths:
        paths.insert(0 if is_default else len(paths), path)


def get_folder_paths(name):
    return list(folder_names_and_paths[name][0])


def get_filename_list(name):
    folders, endings = folder_names_and_paths[name]
    files = (file for folder in folders for file in Path(folder).glob("*") if file.is_file())
    return sorted(file.name for file in files if not endings or file.suffix in endings)


def filter_files_content_types(files, content_types):
    return [file for file in files if "image" in content_types and file.endswith(".png")]


def get_annotated_filepath(name, default_dir=None):
    for ending, folder in (
        (" [output]", output_directory),
        (" [temp]", temp_directory),
        (" [input]", input_directory),
    ):
        if name.endswith(ending):
            return str(Path(folder) / name[: -len(ending)])
    return str(Path(default_dir or input_directory) / name)


def exists_annotated_filepath(name):
    return Path(get_annotated_filepath(name)).exists()


def get_save_image_path(prefix, folder, image_width=0, image_height=0):
    """(folder, name, counter, subfolder, prefix)"""
    taken = len(list(Path(folder).glob(f"{prefix}_*")))
    return folder, prefix, taken + 1, "", prefix
