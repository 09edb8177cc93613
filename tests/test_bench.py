"""The benchmark itself takes minutes and is not run here; what it knows of the gateway is."""

from pathlib import Path

from bench.contenders import Scene, write_gateway_config
from bench.material import INJECTED, make_material
from gateway.commands.check import checked
from gateway.tokens.jose import read_jws


def test_the_configuration_and_the_tokens_of_the_benchmark_are_good(tmp_path: Path) -> None:
    material = make_material(tmp_path, 2)
    config = write_gateway_config(Scene(tmp_path, 9, material, connections=32), 8080)
    snapshot = checked(Path(config), {})
    token = material.valid
    [authenticator] = snapshot.authenticators.values()
    claims = read_jws(token).payload
    assert authenticator.accepts(token)
    assert set(INJECTED.values()) <= claims.keys()
