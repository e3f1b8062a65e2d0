"""A real Ray head takes a job that trains two recipes, one after the other, on two workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from training.bundle import Bundle
from training.track import find_run

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")
START_LIMIT_S, JOB_LIMIT_S = 120, 420


def free_ports(num):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def head(shop):
    """The address of a head on this machine alone; its processes end with the test."""
    ports = free_ports(6)
    names = ("port", "dashboard-port", "ray-client-server-port", "node-manager-port")
    names += ("object-manager-port", "dashboard-agent-listen-port")
    options = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    # Not `tmp_path`: a Unix socket's path may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        command = [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", *options]
        command += ["--num-cpus=2", f"--temp-dir={folder}", "--object-store-memory=100000000"]
        with open(Path(folder) / "head.log", "w") as log:
            process = subprocess.Popen(
                [*command, "--disable-usage-stats"],
                env=environment(shop),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_for(ports[1], process, Path(folder) / "head.log")
            yield f"http://127.0.0.1:{ports[1]}"
        finally:
            # Not `ray stop`, which ends every Ray on the machine: only what this test started.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def environment(shop):
    # A head for this machine's own processes on a port nobody knows needs no token.
    return shop.env | {"RAY_AUTH_MODE": "disabled"}


def wait_for(port, process, log):
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"the head did not start:\n{log.read_text()}")


def test_a_job_trains_two_recipes_with_two_workers_each(shop, head):
    kept = ("NUDGE_HOME", "NUDGE_REGISTRY_URL", "NUDGE_ONLINE_URL", "FEAST_FS_YAML_FILE_PATH")
    variables = {name: environment(shop)[name] for name in kept} | {"HF_HUB_OFFLINE": "1"}
    told = ["--size", "tiny", "--workers", "2", "--set", "optim.max_steps=4"]
    command = [RAY, "job", "submit", "--address", head, "--working-dir", "."]
    command += ["--runtime-env-json", json.dumps({"env_vars": variables})]
    command += ["--", "python", "-m", "training", "fit", "shopper", "text_lora", *told]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(shop),
        timeout=JOB_LIMIT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for recipe in ("shopper", "text_lora"):
        folder = find_run(shop.settings.home, recipe)
        assert folder.name in done.stdout
        assert list((folder / "ray").glob("attempt-0/checkpoint*"))
        assert Bundle.load(folder / "bundle").manifest["lineage"]["num_steps"] == 4
