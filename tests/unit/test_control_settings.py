from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.settings import Settings, SettingsError, default_log_dir, load


def test_defaults() -> None:
    settings = load([], {})
    assert (settings.host, settings.port, settings.devices) == ("127.0.0.1", 8889, "auto")
    assert settings.log_dir == str(default_log_dir(8889).resolve())
    assert settings.auth_token is None and settings.max_streams is None and settings.verify_tls


def test_each_source_outranks_the_one_before(tmp_path: Path) -> None:
    config = tmp_path / "pool.toml"
    config.write_text('port = 1001\nhost = "0.0.0.0"\nwarm = 3\nmax_streams = 4\n')
    environ = {
        "COMFYTRICKLE_PORT": "1002",
        "COMFYTRICKLE_WARM": "5",
        "COMFYTRICKLE_HOST": "",  # as good as unset
        "COMFYTRICKLE_TORCH_INDEX": "https://example.org/simple",  # of the scripts, not ours
    }
    settings = load(["--config", str(config), "--port", "1003"], environ)
    assert (settings.port, settings.warm, settings.max_streams) == (1003, 5, 4)
    assert settings.host == "0.0.0.0"
    by_environment = load([], {**environ, "COMFYTRICKLE_CONFIG": str(config)})
    assert (by_environment.port, by_environment.max_streams) == (1002, 4)


def test_lists_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    wanted = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert load(["--nodes", "a", "--nodes", "b"], {}).nodes == wanted
    assert load([], {"COMFYTRICKLE_NODES": "a:b"}).nodes == wanted
    assert load(["--log-dir", "a"], {}).log_dir == wanted[0]
    assert load(["--workspace", "b"], {}).workspace == [f"comfyui={tmp_path / 'b'}"]
    assert load(["--workspace", "b", "--engine", "embedded"], {}).engine == "embedded"
    two = load(["--workspace", "b", "--workspace", "old=b"], {}).workspace
    assert two == [f"comfyui={tmp_path / 'b'}", f"old={tmp_path / 'b'}"]
    assert load([], {"COMFYTRICKLE_WORKSPACE": "x=b:y=b"}).workspace == [
        f"x={tmp_path / 'b'}",
        f"y={tmp_path / 'b'}",
    ]


@pytest.mark.parametrize(
    ("toml", "environ", "flags", "named"),
    [
        ("port = 70000", {}, [], "pool.toml: port"),
        ('port = "8889"', {}, [], "pool.toml: port"),
        ("prot = 1", {}, [], "unknown key 'prot'"),
        ("[server]\nport = 1", {}, [], "unknown key 'server'"),
        ("port = ", {}, [], "not TOML"),
        ("", {"COMFYTRICKLE_PORT": "many"}, [], "environment COMFYTRICKLE_PORT: 'many'"),
        ("", {"COMFYTRICKLE_VERIFY_TLS": "perhaps"}, [], "COMFYTRICKLE_VERIFY_TLS"),
        ("", {}, ["--port", "-1"], "--port: -1"),
        ("", {}, ["--max-streams", "0"], "--max-streams"),
        ("", {}, ["--log-level", "LOUD"], "log_level: 'LOUD'"),
        ("", {}, ["--engine", "other"], "engine"),
        ("", {}, ["--engine", "mine"], "engine: 'mine' is not one of embedded"),
        ("", {}, ["--workspace", "embedded=/tmp"], "workspace: 'embedded' is the name"),
        ("", {}, ["--workspace", "/tmp", "--workspace", "/"], "two are called 'comfyui'"),
        ("", {}, ["--workspace", "/does/not/exist"], "workspace: there is no /does/not/exist"),
        ("", {}, ["--warm-workflow", "mine=/tmp"], "warm_workflow: there is no engine 'mine'"),
        ("", {}, ["--nodes", "/does/not/exist"], "nodes: there is no /does/not/exist"),
        ("", {}, ["--auth-token", ""], "auth_token"),
    ],
)
def test_a_wrong_value_names_its_source_and_key(
    tmp_path: Path, toml: str, environ: dict[str, str], flags: list[str], named: str
) -> None:
    config = tmp_path / "pool.toml"
    config.write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(["--config", str(config), *flags], environ)
    assert named in str(caught.value)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(SettingsError, match="cannot read /does/not/exist"):
        load(["--config", "/does/not/exist"], {})


def test_a_token_of_the_wrong_type_is_not_printed(tmp_path: Path) -> None:
    config = tmp_path / "pool.toml"
    config.write_text("auth_token = 123456")
    with pytest.raises(SettingsError) as caught:
        load(["--config", str(config)], {})
    assert "auth_token" in str(caught.value) and "123456" not in str(caught.value)


def test_every_setting_but_none_has_a_flag() -> None:
    from control_plane.settings import make_parser

    flags = {action.dest for action in make_parser()._actions}
    assert set(Settings.__struct_fields__) == flags - {"help", "config"}


def test_warm_workers(tmp_path: Path) -> None:
    workflow = tmp_path / "w.json"
    workflow.write_text("{}")
    flags = ["--warm", "2", "--warm-workflow", str(workflow), "--warm-size", "640x360"]
    settings = load(flags, {})
    assert (settings.warm, settings.warm_workflow) == (2, [f"embedded={workflow}"])
    assert settings.warm_size == [640, 360]
    assert load([], {"COMFYTRICKLE_WARM_SIZE": "64x32"}).warm_size == [64, 32]
    with pytest.raises(SettingsError, match="warm_workflow"):
        load(["--warm-workflow", str(tmp_path / "none")], {})
    with pytest.raises(SystemExit):
        load(["--warm-size", "640"], {})


def test_amounts_of_memory(tmp_path: Path) -> None:
    settings = load(["--worker-memory", "6GB", "--unknown-memory", "1.5GiB"], {})
    assert settings.worker_memory_bytes == 6_000_000_000
    assert settings.unknown_memory_bytes == 1_610_612_736
    assert load([], {}).worker_memory_bytes is None and load([], {}).unknown_memory_bytes == 0
    assert load([], {"COMFYTRICKLE_QUEUE_S": "2.5"}).queue_s == 2.5
    for argv, says in (
        (["--worker-memory", "lots"], "worker_memory: 'lots' is not an amount of memory"),
        (["--worker-memory", "10MB"], "worker_memory: no worker can live on '10MB'"),
        (["--unknown-memory", "-1"], "unknown_memory"),
        (["--queue-s", "-1"], "--queue-s"),
    ):
        with pytest.raises(SettingsError, match=says):
            load(argv, {})
