"""The files for systemd, Docker, Kubernetes and KEDA are valid, and their numbers match those of the pool."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest
import yaml
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers import WorkerConfig, exit_codes
from bizzmq.workers.cli import command
from bizzmq.workers.supervisor import supervisor
from bizzmq.workers.supervisor.signals import HANDLED
from tests.faults.gated_handler import HANDLER, Gate
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]
DEPLOY = ROOT / "deploy"
SPARE_S = 5

if not DEPLOY.is_dir():
    pytest.skip("no checkout: deploy/ is missing here", allow_module_level=True)


def options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """The options that `bizzmq-worker` reads from these arguments; fails if it refuses them."""
    return command.make_context("bizzmq-worker", list(arguments)).params


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s?", text)
    assert found, text
    return int(found[1])


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(str(DEPLOY / "bizzmq-worker.service"))
    return parser


@pytest.fixture
def dockerfile() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())


@pytest.fixture
def deployment() -> Any:
    return yaml.safe_load((DEPLOY / "kubernetes" / "worker.yaml").read_text())


@pytest.fixture
def container(deployment: Any) -> Any:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture
def keda() -> Any:
    scaled, authentication = yaml.safe_load_all((DEPLOY / "kubernetes" / "keda.yaml").read_text())
    return {"scaled": scaled, "authentication": authentication}


# --- systemd -----------------------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = re.sub("(?m)^ExecStart=.*$", "ExecStart=/bin/true", (DEPLOY / "bizzmq-worker.service").read_text())
    (tmp_path / "bizzmq-worker.service").write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "bizzmq-worker.service")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout.decode()) == (0, "")


def test_the_unit_gives_a_drain_its_time(unit: configparser.ConfigParser) -> None:
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    options = options_of(arguments)

    assert program.endswith("/bizzmq-worker")
    assert options["drain_timeout"] == WorkerConfig.drain_timeout_s
    assert seconds(unit["Service"]["TimeoutStopSec"]) == options["drain_timeout"] + SPARE_S
    assert unit["Service"]["KillMode"] == "mixed"
    assert unit["Service"]["KillSignal"] == "SIGTERM"


def test_the_unit_uses_the_notifications_of_the_pool(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]

    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
    assert seconds(service["WatchdogSec"]) > 10 * supervisor.TICK_S
    assert service["TimeoutStartSec"] == "infinity"
    assert service["RestartPreventExitStatus"] == str(exit_codes.USAGE)
    assert service["OOMPolicy"] == "continue"


def test_the_units_control_socket_is_in_its_private_directory(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]

    assert service["Environment"] == f"BIZZMQ_WORKER_CONTROL=/run/{service['RuntimeDirectory']}/pool.sock"
    assert service["RuntimeDirectoryMode"] == "0700"
    assert "AF_UNIX" in service["RestrictAddressFamilies"].split()


def test_the_unit_is_hardened(unit: configparser.ConfigParser, tmp_path: Path) -> None:
    service = unit["Service"]
    assert service["LimitCORE"] == "0"
    assert service["ProtectProc"] == "invisible"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(DEPLOY / "bizzmq-worker.service")]

    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    if "nrecognized option" in done.stdout:
        pytest.skip("this systemd cannot rate a file")
    assert done.returncode == 0, done.stdout


# --- containers --------------------------------------------------------------------------------------------------


def test_the_image_runs_the_pool_itself_and_not_as_root(dockerfile: list[tuple[str, str]]) -> None:
    reported = dict(dockerfile)

    assert json.loads(reported["ENTRYPOINT"]) == ["bizzmq-worker"], "in exec form: a shell would swallow the signals"
    assert reported["USER"].isdigit()
    assert int(reported["USER"]) > 0
    assert reported["STOPSIGNAL"] == "SIGTERM"
    assert "BIZZMQ_WORKER_CONTROL=/run/bizzmq/pool.sock" in reported["ENV"].split()
    instructions = [name for name, _ in dockerfile]
    assert instructions.index("USER") > max(i for i, name in enumerate(instructions) if name == "RUN")


def test_the_images_health_check_queries_the_pool(dockerfile: list[tuple[str, str]]) -> None:
    program, *arguments = json.loads(dict(dockerfile)["HEALTHCHECK"].partition("CMD ")[2])

    assert program == "bizzmq-worker"
    assert options_of(arguments)["check"] == "live"


def test_the_image_is_built_from_all_files_that_a_wheel_needs() -> None:
    locks = {"deploy/requirements.txt", "deploy/requirements-build.txt"}
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert kept == locks | {"bizzmq", "workers", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize(
    ("base", "unpinned", "code"),
    [("python:3.13-slim", "no", 1), ("python:3.13-slim@sha256:" + "0" * 64, "no", 0), ("python:3.13-slim", "yes", 0)],
)
def test_a_base_without_a_digest_is_refused(
    dockerfile: list[tuple[str, str]], base: str, unpinned: str, code: int
) -> None:
    check = next(what for name, what in dockerfile if name == "RUN")

    done = subprocess.run(["sh", "-c", check], env={"BASE": base, "UNPINNED": unpinned}, check=False)

    assert done.returncode == code
    assert [what.split()[0] for name, what in dockerfile if name == "FROM"] == ["${BASE}", "${BASE}"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_every_package_of_the_image_is_locked_by_hash(name: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / name).read_text())
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+(\s+--hash=sha256:[0-9a-f]{64})+", line), line
    if name == "requirements.txt":
        locked = {line.split("==")[0] for line in lines}
        assert locked == {"redis", "hiredis", "click", "psutil", "setproctitle"}


def test_compose_gives_a_drain_its_time(compose: Any) -> None:
    worker = compose["services"]["worker"]
    options = options_of(worker["command"])

    assert seconds(worker["stop_grace_period"]) == options["drain_timeout"] + SPARE_S
    assert (DEPLOY / worker["build"]["context"] / worker["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    module, _, name = options["handler"].partition(":")
    (mounted,) = worker["volumes"]
    assert f"def {name}(" in (DEPLOY / mounted.split(":")[0] / f"{module}.py").read_text()
    assert any(place.startswith("/run/bizzmq:uid=10001,mode=0700") for place in worker["tmpfs"])


def test_redis_in_compose_keeps_messages(compose: Any) -> None:
    started = " ".join(compose["services"]["redis"]["command"])

    assert "--appendonly yes" in started
    assert "--maxmemory-policy noeviction" in started


def test_docker_compose_accepts_it() -> None:
    if shutil.which("docker") is None:
        pytest.skip("needs docker compose")
    if subprocess.run(
        ["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode:
        pytest.skip("needs docker compose")

    done = subprocess.run(["docker", "compose", "-f", str(DEPLOY / "docker-compose.yml"), "config", "-q"], check=False)

    assert done.returncode == 0


# --- Kubernetes --------------------------------------------------------------------------------------------------


def test_kubernetes_gives_a_drain_its_time(deployment: Any, container: Any) -> None:
    options = options_of(container["args"])

    assert options["drain_timeout"] == WorkerConfig.drain_timeout_s
    grace_s = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s == options["drain_timeout"] + SPARE_S


def test_the_probes_query_the_pool(container: Any) -> None:
    asked = {name: container[name]["exec"]["command"] for name in ("livenessProbe", "readinessProbe")}

    assert options_of(asked["livenessProbe"][1:])["check"] == "live"
    assert options_of(asked["readinessProbe"][1:])["check"] == "ready"
    assert {program for program, *_ in asked.values()} == {"bizzmq-worker"}


def test_a_worker_limit_is_reached_before_the_container_limit(container: Any) -> None:
    options = options_of(container["args"])
    limit_mb = int(container["resources"]["limits"]["memory"].replace("Gi", "")) * 1024

    assert 0 < options["max_memory"] < options["kill_memory"]
    # In addition to the workers there are the supervisor, the janitor and the template.
    assert options["concurrency"] * options["kill_memory"] + 128 < limit_mb
    assert int(container["resources"]["requests"]["cpu"]) == options["concurrency"]


def test_the_pod_is_restricted_and_has_a_directory_for_its_socket(deployment: Any, container: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/run/bizzmq", "/tmp"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_keda_scales_that_deployment_by_that_queue(keda: Any, deployment: Any, container: Any) -> None:
    (queue,) = options_of(container["args"])["queues"]
    scaled = keda["scaled"]["spec"]
    (trigger,) = scaled["triggers"]

    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert trigger["type"] == "redis"
    assert trigger["metadata"]["listName"] == QueueKeys(queue).messages
    assert trigger["authenticationRef"]["name"] == keda["authentication"]["metadata"]["name"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes strings only"


def test_keda_counts_all_stored_and_running_messages(
    start_pool: StartPool, url: str, redis: Redis, keda: Any, tmp_path: Path
) -> None:
    (trigger,) = keda["scaled"]["spec"]["triggers"]
    key = trigger["metadata"]["listName"]
    gate = Gate(tmp_path / "gate")
    with BizzMQ(url) as mq:
        mq.create_queue("email", QueueOptions(config_dead_letter_queue=True))
        start_pool(url, queue="email", concurrency=1, handler=HANDLER)
        mq.publish_message_to_queue("email", {"actions": ["reject"], "gate": str(tmp_path / "open")})
        Path(f"{tmp_path / 'open'}.1").touch()
        eventually(lambda: mq.stats("email").dead_lettered == 1, 20.0)
        mq.publish_message_to_queue("email", gate.body())
        eventually(lambda: mq.stats("email").processing == 1)
        mq.publish_messages_to_queue("email", [gate.body()] * 3)
        mq.publish_message_to_queue("email", gate.body(), MessageOptions(priority=7))
        mq.publish_message_to_queue("email", gate.body(), MessageOptions(delay_s=3600))

        stats = mq.stats("email")
        assert (stats.waiting, stats.delayed, stats.processing) == (4, 1, 1)
        assert redis.type(key) == "hash"  # whose length KEDA's scaler reads with HLEN
        assert redis.hlen(key) == 6, "dead letters do not count"
        gate.open()
        eventually(lambda: redis.hlen(key) == 1, 30)


# --- the manual --------------------------------------------------------------------------------------------------


def test_the_manual_knows_every_signal() -> None:
    manual = (ROOT / "docs" / "operations" / "running-a-pool.md").read_text()

    for number in HANDLED:
        assert number.name in manual, number.name


def test_the_manual_names_the_files_that_are_shipped() -> None:
    manual = (ROOT / "docs" / "operations" / "deploying.md").read_text()

    for name in ("bizzmq-worker.service", "Dockerfile", "docker-compose.yml", "kubernetes/worker.yaml"):
        assert (ROOT / "deploy" / name).exists(), name
        assert f"../../deploy/{name})" in manual, name
