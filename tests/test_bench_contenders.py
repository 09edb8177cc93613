"""The contenders of the benchmark: what they are told is what they understand."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import contenders as who
from bench.contenders import CONTENDERS, Contender
from bench.envoy import envoy_program
from bench.gateway_setup import Setup, gateway_command, write_gateway_config
from bench.material import INJECTED, make_material
from bench.nginx import upstream_command
from bench.processes import MissingProgram, Processes, free_ports
from bench.scene import Ports, Scene
from gateway.commands.check import checked
from gateway.tokens.jose import read_jws
from tests.clients.processes import until_ready

PORTS = Ports(8080, 8443, 9090)


def scene_in(directory: Path) -> Scene:
    return Scene(directory, 9, make_material(directory, 2), connections=32)


def understood(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("setup", [Setup(), Setup(routes=10), Setup(workers=2, access_log=True, revocations=0)])
def test_the_configuration_of_the_gateway_is_good(tmp_path: Path, setup: Setup) -> None:
    scene = scene_in(tmp_path)
    snapshot = checked(Path(write_gateway_config(scene, PORTS, setup)), {})
    [authenticator] = snapshot.authenticators.values()
    assert authenticator.accepts(scene.material.valid)
    assert set(INJECTED.values()) <= read_jws(scene.material.valid).payload.keys()


@pytest.mark.parametrize("write", [who.NGINX.command, lambda scene, ports: upstream_command(scene)])
def test_nginx_understands_its_configuration(tmp_path: Path, write: Callable[[Scene, Ports], list[str]]) -> None:
    understood([*command_of(write, scene_in(tmp_path)), "-t"])


@pytest.mark.parametrize("contender", [who.HAPROXY, who.HAPROXY_PLAIN], ids=lambda contender: contender.name)
def test_haproxy_understands_its_configuration(tmp_path: Path, contender: Contender) -> None:
    understood([*command_of(contender.command, scene_in(tmp_path)), "-c"])


@pytest.mark.parametrize(
    "contender", [who.ENVOY, who.ENVOY_UNCACHED, who.ENVOY_PLAIN], ids=lambda contender: contender.name
)
def test_envoy_understands_its_configuration(tmp_path: Path, contender: Contender) -> None:
    understood([*command_of(contender.command, scene_in(tmp_path)), "--mode", "validate"])


def command_of(write: Callable[[Scene, Ports], list[str]], scene: Scene) -> list[str]:
    try:
        return write(scene, PORTS)
    except MissingProgram as missing:
        pytest.skip(str(missing))


def test_two_gateways_have_one_port(tmp_path: Path) -> None:
    scene, ports = scene_in(tmp_path), Ports(*free_ports(3))
    command = gateway_command(scene, ports, Setup(twins=True))
    configurations = [json.loads(Path(file).read_text()) for file in command[-2:]]
    with Processes(tmp_path) as processes:
        processes.start("twins", command, os.sched_getaffinity(0), ports.http)
        for each in configurations:
            until_ready(each["ops"]["address"])


def test_an_envoy_that_is_not_there_is_missing_and_not_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_ENVOY", str(tmp_path / "nothing"))
    with pytest.raises(MissingProgram, match="not installed"):
        envoy_program()


def test_each_contender_has_a_directory_of_its_own() -> None:
    assert len({contender.slug for contender in CONTENDERS}) == len(CONTENDERS)
