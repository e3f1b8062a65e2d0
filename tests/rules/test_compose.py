"""The compose file: it names what exists, opens nothing to others, and holds no secret.

That its PostgreSQL and Redis are those of the tests is in ``tests/test_services.py``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from feature_repo.settings import Settings
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "infra" / "compose.yaml"
TEXT = COMPOSE.read_text()
FILE = yaml.safe_load(TEXT)
SERVICES = FILE["services"]
DOCKERFILE = (ROOT / "infra" / "images" / "Dockerfile").read_text()
OURS = {name for name, service in SERVICES.items() if "build" in service}


def test_it_starts_the_servers_the_head_and_the_service():
    assert set(SERVICES) == {"postgres", "redis", "init", "service", "ray"}
    assert {"init", "service", "ray"} == OURS


def test_images_of_others_have_a_version_and_no_registry():
    for name in SERVICES.keys() - OURS:
        assert re.fullmatch(r"[a-z]+:\d+(\.\d+)*", SERVICES[name]["image"]), name


def test_every_secret_comes_from_outside_and_is_asked_for():
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", TEXT)
    assert all(rest.startswith(":?") for _, rest in variables), "no variable has a default"
    example = (ROOT / "infra" / ".env.example").read_text()
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert given == {name: "" for name, _ in variables}
    secret = re.findall(r"(?i)(\w*(?:password|token|auth|secret)\w*): (.+)", TEXT)
    assert all(value.startswith("${") for name, value in secret if name != "RAY_AUTH_MODE"), secret


def test_ports_are_published_on_this_machine_alone():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)


def test_its_variables_are_settings_that_exist_and_name_its_own_servers():
    fields = {f"NUDGE_{name.upper()}" for name in Settings.model_fields}
    fields |= {f"NUDGE_SERVING_{name.upper()}" for name in ServingSettings.model_fields}
    reference = (ROOT / "docs" / "reference.md").read_text()
    for name in OURS:
        environment = SERVICES[name]["environment"]
        mine = {variable for variable in environment if variable.startswith("NUDGE_")}
        assert {"NUDGE_WAREHOUSE_URL", "NUDGE_REGISTRY_URL", "NUDGE_ONLINE_URL"} <= mine <= fields
        assert all(f"`{variable}`" in reference for variable in environment), name
        for variable in mine - {"NUDGE_HOME"}:
            host, port = re.search(r"@(\w+):(\d+)/", environment[variable]).groups()
            assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]


def test_whoever_runs_can_be_asked_for_its_health_and_loses_nothing_on_a_restart():
    for name in SERVICES.keys() - {"init"}:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD", name
        assert SERVICES[name]["restart"] == "unless-stopped"
    volumes = [volume for service in SERVICES.values() for volume in service["volumes"]]
    assert {volume.partition(":")[0] for volume in volumes} == set(FILE["volumes"])


def test_ours_wait_for_the_tables_and_those_for_the_servers():
    waits = {name: SERVICES[name]["depends_on"] for name in OURS}
    assert {server: how["condition"] for server, how in waits["init"].items()} == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    for name in OURS - {"init"}:
        assert waits[name] == {"init": {"condition": "service_completed_successfully"}}


def test_the_images_have_the_python_and_the_files_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = re.search(r"^FROM python:(3\.\d+)-", DOCKERFILE, re.MULTILINE)[1]
    assert project["requires-python"].startswith(f">={python}")
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    for name in OURS:
        build = SERVICES[name]["build"]
        assert build["target"] in stages
        assert (COMPOSE.parent / build["context"] / build["dockerfile"]).is_file()
    for copied in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / path).exists() for path in copied.split())
    for extra in re.findall(r"--extra (\w+)", DOCKERFILE):
        assert extra in project["optional-dependencies"]
    service = DOCKERFILE[DOCKERFILE.index("AS service") : DOCKERFILE.index("AS ray")]
    assert "--extra" not in service
    assert SERVICES["service"]["command"][1:3] == ["serve", "serving.service:Nudge"]


def test_docker_itself_understands_the_file(tmp_path):
    docker = shutil.which("docker")
    asked = [docker, "compose", "version"]
    if docker is None or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    (tmp_path / "env").write_text("POSTGRES_PASSWORD=a\nREDIS_PASSWORD=b\nRAY_AUTH_TOKEN=c\n")
    command = [docker, "compose", "--env-file", tmp_path / "env", "--file", COMPOSE, "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
