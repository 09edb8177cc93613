"""The chart, rendered by Helm, is what Kubernetes takes, and what the gateway understands."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.judging import VERSIONS, privileges, schema_mistakes, snapshot_of
from tests.deploy.rendering import (
    CHART,
    Manifest,
    Refused,
    all_templated,
    chart_values,
    containers,
    only,
    pods,
    templated,
)
from tests.deploy.tools import DEPLOY

EXAMPLES = ("gateway", "sidecar", "sidecar-socket", "everything")
ROUTES = {"routes": [{"id": "all", "match": {"path": "/**"}, "upstream": "app", "access": "public"}]}
UPSTREAMS = {"app": {"targets": ["http://app"]}}
SIDECAR = {"mode": "sidecar", "app": {"image": "app:1"}, "config": ROUTES}


@cache
def examples() -> dict[str, list[Manifest]]:
    found = all_templated(*map(chart_values, EXAMPLES))
    return {name: each for name, each in zip(EXAMPLES, found, strict=True) if not isinstance(each, Refused)}


def example(name: str) -> list[Manifest]:
    return examples()[name]


def pod(manifests: list[Manifest]) -> Manifest:
    [(_, found)] = pods(manifests)
    return found


def config(manifests: list[Manifest]) -> Any:
    return yaml.safe_load(only(manifests, "ConfigMap")["data"]["config.yaml"])


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_kubernetes_takes_it() -> None:
    assert schema_mistakes([manifest for name in EXAMPLES for manifest in example(name)]) == []


def test_the_schemas_would_not_take_anything() -> None:
    manifests = deepcopy([only(example("everything"), kind) for kind in ("Deployment", "ServiceMonitor")])
    for manifest in manifests:
        manifest["spec"]["no"] = 1
    assert len(schema_mistakes(manifests)) == 1 + len(VERSIONS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_container_has_privileges(name: str) -> None:
    assert privileges(example(name)) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gateway_understands_its_configuration(name: str, tmp_path: Path) -> None:
    text = only(example(name), "ConfigMap")["data"]["config.yaml"]
    snapshot = snapshot_of(text, tmp_path, {"STATE_URL": "redis://redis:6379"})
    gateway = containers(pod(example(name)))["gateway"]
    ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    assert [listener.address.port for listener in snapshot.config.listen] == [ports["http"]]
    assert snapshot.config.ops is not None
    assert snapshot.config.ops.address.port == ports["ops"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_kubernetes_waits_until_the_gateway_has_drained(name: str) -> None:
    timeouts = config(example(name))["timeouts"]
    needed = seconds(timeouts["drain_delay"]) + seconds(timeouts["drain"])
    assert pod(example(name))["terminationGracePeriodSeconds"] > needed


@pytest.mark.parametrize("name", ["sidecar", "sidecar-socket"])
def test_a_sidecar_starts_before_the_application_and_drains_before_it_ends(name: str) -> None:
    [gateway] = pod(example(name))["initContainers"]
    [app] = pod(example(name))["containers"]
    assert gateway["restartPolicy"] == "Always"
    assert gateway["startupProbe"]["httpGet"] == {"path": "/startupz", "port": "ops"}
    assert "SIGTERM" in gateway["lifecycle"]["preStop"]["exec"]["command"][-1]
    delay = seconds(config(example(name))["timeouts"]["drain_delay"])
    assert app["lifecycle"]["preStop"]["sleep"]["seconds"] > delay


@pytest.mark.parametrize("name", ["sidecar", "sidecar-socket"])
def test_the_gateway_is_all_that_leads_to_an_application_with_a_sidecar(name: str) -> None:
    assert "ports" not in containers(pod(example(name)))["app"]
    [target] = config(example(name))["upstreams"]["app"]["targets"]
    assert target in ("http://127.0.0.1:9000", "unix:/run/app/app.sock")
    assert [port["targetPort"] for port in only(example(name), "Service")["spec"]["ports"]] == ["http"]
    policy = only(example(name), "NetworkPolicy")["spec"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [8080, 9090]


def test_a_shared_socket_is_in_a_directory_of_these_two_containers() -> None:
    both = containers(pod(example("sidecar-socket")))
    assert all({"name": "app-socket", "mountPath": "/run/app"} in each["volumeMounts"] for each in both.values())


def test_what_is_said_of_the_application_is_added_to_what_the_chart_knows() -> None:
    said = {**ROUTES, "upstreams": {"app": {"health": {"path": "/health"}}}}
    upstream = config(templated({**SIDECAR, "config": said}))["upstreams"]["app"]
    assert upstream == {"targets": ["http://127.0.0.1:9000"], "health": {"path": "/health"}}


def test_everything_is_there_that_is_switched_on() -> None:
    kinds = sorted(manifest["kind"] for manifest in example("everything"))
    always = ("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")
    more = ("HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "PrometheusRule", "Service", "Service", "ServiceMonitor")
    assert kinds == sorted([*always, *more])
    assert "replicas" not in only(example("everything"), "Deployment")["spec"]


def test_nothing_is_there_that_needs_what_a_cluster_may_not_have() -> None:
    kinds = {manifest["kind"] for manifest in example("gateway")}
    assert kinds == {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}


def test_pods_can_be_scraped_without_a_service() -> None:
    manifests = templated({**chart_values("gateway"), "podMonitor": {"enabled": True}})
    assert schema_mistakes([only(manifests, "PodMonitor")]) == []


def test_existing_secrets_are_mounted_where_only_the_gateway_reads_them() -> None:
    gateway = containers(pod(example("everything")))["gateway"]
    mounts = {mount["mountPath"]: mount for mount in gateway["volumeMounts"]}
    assert mounts["/etc/gateway/secrets/gateway-keys"]["readOnly"] is True
    assert gateway["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "gateway-redis", "key": "url"}
    secrets = [each["secret"] for each in pod(example("everything"))["volumes"] if "secret" in each]
    assert {each["secretName"] for each in secrets} == {"gateway-keys", "gateway-users", "gateway-admin"}
    assert {each["defaultMode"] for each in secrets} == {0o440}
    assert pod(example("everything"))["securityContext"]["fsGroup"] == gateway["securityContext"]["runAsGroup"]


def test_a_secret_may_have_any_name_that_kubernetes_allows() -> None:
    manifests = templated({**SIDECAR, "existingSecrets": ["keys.of.the.shop", "k" * 200]})
    assert all(re.fullmatch("[a-z0-9-]{1,63}", each["name"]) for each in pod(manifests)["volumes"])
    assert schema_mistakes(manifests) == []


ADMIN = {"enabled": True, "existingSecret": {"name": "gateway-admin"}}


def ways_in(manifests: list[Manifest]) -> list[int]:
    """Return the ports that Services lead to, and those that the NetworkPolicy lets through."""
    gateway = containers(pod(manifests))["gateway"]
    numbers = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    services = [port for each in manifests if each["kind"] == "Service" for port in each["spec"]["ports"]]
    rules = only(manifests, "NetworkPolicy")["spec"]["ingress"]
    return [numbers[port["targetPort"]] for port in services] + [rule["ports"][0]["port"] for rule in rules]


def test_the_admin_api_is_off_unless_asked_for_and_then_for_the_pod_alone() -> None:
    off, on = templated(SIDECAR), templated({**SIDECAR, "admin": ADMIN})
    assert "admin" not in config(off)
    file = "/etc/gateway/secrets/gateway-admin/token"
    assert config(on)["admin"] == {"address": "127.0.0.1:9091", "token_file": file}
    assert ways_in(on) == ways_in(off) == [8080, 8080, 9090]


def test_others_reach_the_admin_api_by_a_service_of_its_own_if_they_are_named() -> None:
    whom = [{"podSelector": {"matchLabels": {"app": "operators"}}}]
    manifests = templated({**SIDECAR, "admin": {**ADMIN, "service": {"enabled": True, "from": whom}}})
    assert config(manifests)["admin"]["address"] == "0.0.0.0:9091"
    assert sorted(ways_in(manifests)) == [8080, 8080, 9090, 9091, 9091]
    (rule,) = [rule for rule in only(manifests, "NetworkPolicy")["spec"]["ingress"] if rule["ports"][0]["port"] == 9091]
    assert rule["from"] == whom
    assert only(manifests, "Service", "edge-bearergate")["spec"]["ports"][0]["targetPort"] == "http"


def test_an_existing_configmap_is_used_as_it_is() -> None:
    manifests = templated({"existingConfigMap": {"name": "mine", "key": "gateway.yaml"}})
    assert not any(manifest["kind"] == "ConfigMap" for manifest in manifests)
    assert pod(manifests)["volumes"][0]["configMap"]["name"] == "mine"
    assert containers(pod(manifests))["gateway"]["args"] == ["serve", "/etc/gateway/config/gateway.yaml"]


def test_a_change_of_the_configuration_starts_new_pods_unless_it_is_not_to() -> None:
    other = {**SIDECAR, "config": {**ROUTES, "realm": "other"}}
    off = {"restartOnConfigChange": False}
    found = all_templated(SIDECAR, other, {**SIDECAR, **off}, {**other, **off})
    templates = [only(each, "Deployment")["spec"]["template"] for each in found if not isinstance(each, Refused)]
    now, then, now_off, then_off = (each["metadata"]["annotations"] for each in templates)
    assert now != then
    assert now_off == then_off


def test_the_alerts_are_those_of_the_monitoring() -> None:
    rules = yaml.safe_load(next((DEPLOY / "monitoring").glob("rules.yaml")).read_text())
    assert only(example("everything"), "PrometheusRule")["spec"] == rules
    assert (CHART / "files" / "rules.yaml").is_symlink()


def test_values_that_cannot_be_meant_are_refused() -> None:
    values: list[tuple[dict[str, Any], str]] = [
        ({}, "config.routes"),
        ({**SIDECAR, "app": {}}, "app"),
        ({**SIDECAR, "replicas": 3}, "replicas"),
        ({**SIDECAR, "config": {**ROUTES, "timeouts": {"drain": "1m"}}}, "drain.seconds"),
        ({**SIDECAR, "ports": {"http": 80}}, "/ports/http"),
        ({**SIDECAR, "mode": "daemon"}, "mode"),
        ({**SIDECAR, "ingress": {"enabled": True}}, "hosts"),
        ({**SIDECAR, "httpRoute": {"enabled": True}}, "parentRefs"),
        ({**SIDECAR, "admin": {"enabled": True}}, "who may use it"),
        ({**SIDECAR, "admin": {**ADMIN, "service": {"enabled": True}}}, "admin.service.from"),
        ({**SIDECAR, "config": {**ROUTES, "listen": [{"address": "0.0.0.0:8443"}]}}, "ports.http"),
        ({**SIDECAR, "config": {**ROUTES, "ops": {"address": "0.0.0.0:9999"}}}, "ports.ops"),
        ({**SIDECAR, "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "twice"),
    ]
    refused = all_templated(*(each for each, _ in values))
    assert [told for (_, told), error in zip(values, refused, strict=True) if told not in str(error)] == []
    assert all(isinstance(error, Refused) for error in refused)
