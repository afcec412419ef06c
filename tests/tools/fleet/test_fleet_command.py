"""``freight fleet``: every configuration passes its engine's own checker, and every mistake is one clear line."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from freight.cli.main import main
from freight.cli.serve import serve as serve_command
from freight.errors import ConfigurationError
from freight.memory.division import divide
from freight.tools.fleet.capacity import slots
from freight.tools.fleet.check import check
from freight.tools.fleet.engines import ENGINES, Engine
from freight.tools.fleet.fleet_options import Address, FleetOptions, Node, read_options, serve_arguments
from freight.tools.fleet.options import OPTIONS
from support.certificates import KeyPair

PROGRAMS = {"compose": "docker-compose", "k8s": "kubernetes-validate"}
NODES = "a:8080,b:8080,c:8080"
HOT = ("--hot", "/huge.csv,/models/,/a%20b")
PLAIN = {"haproxy": HOT, "caddy": HOT, "envoy": HOT, "compose": HOT, "k8s": ()}
MORE = {
    "haproxy": (
        "--admin",
        "none",
        "--haproxy-agent",
        "none",
        "--http2",
        "--front",
        "[::1]:8443",
        "--queue-timeout",
        "1500ms",
    ),
    "caddy": ("--admin", "none", "--http2", "--domain", "example.org", "--front", "127.0.0.1:8443"),
    "envoy": ("--admin", "none", "--http2", "--front", "[::1]:8443", "--stats", "none"),
    "compose": ("--path", "/srv/my $data", "--image", "registry:5000/freight@sha256:ab", "--cache", "0"),
    "k8s": ("--claim", "other", "--front", "0.0.0.0:8000", "--shutdown-delay", "0", "--memory", "20MB"),
}
CHECKED = [
    pytest.param(engine, options, marks=pytest.mark.needs(PROGRAMS.get(engine, engine)), id=f"{engine} {name}")
    for name, table in (("plain", PLAIN), ("more", MORE))
    for engine, options in table.items()
]
BY_NAME = {engine.name: engine for engine in ENGINES}


def written(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints, having succeeded."""
    status = main(["fleet", *words])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def complaint(capsys: pytest.CaptureFixture[str], *words: str, status: int = 2) -> str:
    """The one line that a command fails with."""
    assert main(["fleet", *words]) == status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def described(**texts: str) -> FleetOptions:
    return read_options({"nodes": NODES} | texts)


@pytest.mark.parametrize(("engine", "options"), CHECKED)
def test_what_is_written_passes_its_engines_own_checker(
    capsys: pytest.CaptureFixture[str], engine: str, options: tuple[str, ...]
) -> None:
    """Hosts are addresses where the engine has to find them when it is checked."""
    assert main(["fleet", engine, "--nodes", NODES, *options]) == 0
    out, err = capsys.readouterr()
    assert out
    assert err.startswith("freight: checked by ")


@pytest.mark.parametrize("engine", [pytest.param(name, marks=pytest.mark.needs(name)) for name in list(PLAIN)[:3]])
def test_a_certificate_is_read_by_the_checker_and_one_that_is_missing_is_its_complaint(
    capsys: pytest.CaptureFixture[str], pair: KeyPair, tmp_path: Path, engine: str
) -> None:
    cert, key = tmp_path / "a 'front'.pem", tmp_path / "a 'front'.pem.key"
    shutil.copy(pair.cert, cert)
    shutil.copy(pair.key, key)
    words = (engine, "--nodes", NODES, "--tls-cert", str(cert), "--tls-key", str(key))
    assert written(capsys, *words)
    cert.unlink()
    assert "does not accept it" in complaint(capsys, *words, status=1)
    assert written(capsys, *words, "--no-check")


def test_a_bare_fleet_is_answered_by_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(engine.title in err for engine in ENGINES)


@pytest.mark.parametrize(
    ("engine", "was", "broken"),
    [
        pytest.param(name, was, broken, marks=pytest.mark.needs(PROGRAMS.get(name, name)), id=name)
        for name, was, broken in (
            ("haproxy", "mode http", "mode https"),
            ("caddy", "lb_policy uri_hash", "lb_policy url_hash"),
            ("envoy", "lb_policy: RING_HASH", "lb_policy: RING"),
            ("compose", "restart:", "restarts:"),
            ("k8s", "replicas: 3", "replicas: three"),
        )
    ],
)
def test_a_checker_sees_what_is_wrong(capsys: pytest.CaptureFixture[str], engine: str, was: str, broken: str) -> None:
    text = written(capsys, engine, "--nodes", NODES, "--no-check")
    checked = BY_NAME[engine]
    assert check(checked.checkers, checked.suffix, text).error == ""
    assert was in text
    assert check(checked.checkers, checked.suffix, text.replace(was, broken)).error


def test_a_missing_checker_is_reported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freight.tools.fleet.check.find_program", lambda name: None)
    assert main(["fleet", "haproxy", "--nodes", NODES]) == 0
    assert capsys.readouterr().err == "freight: not checked: haproxy is not installed\n"


def test_the_error_of_a_checker_is_reported_and_silence_is_success() -> None:
    said = check([("sh", "-c", "echo line 3: wrong >&2; exit 1", "FILE")], ".cfg", "text")
    assert said.error == "line 3: wrong"
    assert check([("grep", "-q", "text", "FILE")], ".cfg", "text").error == ""
    assert check([("grep", "-q", "text", "FILE")], ".cfg", "other").error
    assert check([("sh", "-c", "echo wrong", "-q")], ".cfg", "text").error == "wrong"
    assert check([("no-such-program", "FILE"), ("true", "FILE")], ".cfg", "text").checker == "true FILE"


def test_a_file_has_the_same_options_and_the_command_line_comes_before_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(
        'nodes = ["a:1", "b:2"]\nhot = "/hot"\nhttp2 = true\nqueue-size = 7\nmemory = "20MB"\nclaim = "x"\n'
    )
    by_file = written(capsys, "haproxy", "--no-check", "--from", str(file), "--queue-size", "8")
    options = ("--nodes", "a:1", "--nodes", "b:2", "--hot", "/hot", "--http2", "--queue-size", "8", "--memory", "20MB")
    assert by_file == written(capsys, "haproxy", "--no-check", *options)
    assert "ge 8 }" in by_file


def test_the_file_of_o_appears_whole_and_is_left_alone_by_a_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "fleet.cfg"
    words = ("haproxy", "--nodes", NODES, "--no-check")
    assert written(capsys, *words, "-o", str(out)) == ""
    assert out.read_text() == written(capsys, *words)
    complaint(capsys, *words, "-o", str(out), "--queue-size", "many")
    assert out.read_text() == written(capsys, *words)
    assert list(tmp_path.iterdir()) == [out]
    nowhere = tmp_path / "none" / "fleet.cfg"
    assert complaint(capsys, *words, "-o", str(nowhere), status=1) == f"freight: {nowhere}: No such file or directory\n"
    missing = complaint(capsys, "haproxy", "--from", str(nowhere))
    assert missing == f"freight: --from: cannot read {nowhere}: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("haproxy",), "nodes: at least one is needed"),
        (("haproxy", "--nodes", "10.0.0.5"), "nodes: '10.0.0.5' has no port; write 10.0.0.5:8080"),
        (("haproxy", "--nodes", "10.0.0.5:8080,10.0.0.6"), "nodes: '10.0.0.6' has no port; write 10.0.0.6:8080"),
        (("haproxy", "--nodes", "node1"), "nodes: 'node1' has no port; write node1:8080"),
        (("haproxy", "--nodes", "fd00::5"), "nodes: 'fd00::5' has no port; write [fd00::5]:8080"),
        (("haproxy", "--nodes", "[fd00::5]"), "nodes: '[fd00::5]' has no port; write [fd00::5]:8080"),
        (("haproxy", "--nodes", "a:http"), "nodes: 'a:http' is not HOST:PORT; write 10.0.0.5:8080, node1:8080 or"),
        (("haproxy", "--nodes", "a:"), "nodes: 'a:' is not HOST:PORT"),
        (("haproxy", "--nodes", ":8080"), "nodes: ':8080' is not HOST:PORT"),
        (("haproxy", "--nodes", "a:99999"), "nodes: 'a:99999' is not HOST:PORT"),
        (("haproxy", "--nodes", "a:8080,a:8080"), "nodes: a:8080 is given twice"),
        (("haproxy", "--nodes", "a b:8080"), "nodes: 'a b' is neither a host name nor an IP address"),
        (("haproxy", "--nodes", "a:0"), "nodes: 'a:0' has port 0; write the port where the node serves files: a:8080"),
        (("haproxy", "--nodes", "a:1\nb:2"), "nodes"),
        (("haproxy", "--nodes", NODES, "--hot", "huge.csv"), "hot: 'huge.csv' is not a path"),
        (("haproxy", "--nodes", NODES, "--hot", "/a b"), "hot"),
        (("haproxy", "--nodes", NODES, "--memory", "1KiB"), "memory"),
        (("haproxy", "--nodes", NODES, "--tls-key", "k"), "tls-cert"),
        (("haproxy", "--nodes", NODES, "--tls-cert", "c", "--tls-key", "k"), "c.key"),
        (("haproxy", "--nodes", NODES, "--domain", "example.org"), "--domain: no such option"),
        (("caddy", "--nodes", NODES, "--domain", "a b"), "domain"),
        (("compose", "--nodes", "10.0.0.5:8080"), "cannot be the name of a service"),
        (("compose", "--nodes", "a:1,a:2"), "each needs its own service name"),
        (("k8s", "--nodes", "a:1,b:2"), "must have one port"),
        (("k8s", "--nodes", NODES, "--admin", "none"), "admin"),
        (("haproxy", "--nodes", NODES, "--stats", "none", "--front", "x"), "front"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert says in complaint(capsys, *words, "--no-check")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("nodes = ", "not TOML"),
        ("nods = 'a:1'", "no option 'nods'"),
        ("nodes = [1]", "nodes: must be a string or an array"),
        ("queue-size = true", "queue-size: must be a string"),
        ("http2 = 1", "http2: must be true or false"),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, toml: str, says: str
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(toml)
    said = complaint(capsys, "haproxy", "--from", str(file))
    assert says in said and "fleet.toml" in said


def test_a_library_that_is_missing_is_one_line_that_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("freight.tools.fleet.envoy", "freight.tools.fleet.yaml_output"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    said = complaint(capsys, "envoy", "--nodes", NODES)
    assert "freight fleet envoy needs PyYAML, which is not installed; run: " in said


def test_the_table_and_the_description_have_the_same_fields() -> None:
    fields = {field.name for field in dataclasses.fields(FleetOptions)}
    assert fields | {"admin", "haproxy_agent"} == {option.field for option in OPTIONS}
    assert {name for engine in ENGINES for name in engine.options} == {option.name for option in OPTIONS}


def test_ports_beside_a_nodes_own_are_as_freight_serve_has_them() -> None:
    assert described(nodes="a:8080,[::1]:65000").nodes == (
        Node("a", 8080, 9080, 10080),
        Node("::1", 65000, 64000, 63000),
    )
    assert described(nodes="a:8080", admin="9", **{"haproxy-agent": "none"}).nodes == (Node("a", 8080, 9, None),)


def test_the_port_of_the_front_depends_on_tls() -> None:
    assert described().front == Address("0.0.0.0", 80)
    assert described(domain="example.org").front.port == described(**{"tls-cert": "c"}).front.port == 443


def test_the_arguments_of_a_node_are_valid_for_freight_serve() -> None:
    fleet = described()
    words = serve_arguments(fleet, fleet.nodes[0], "PATH")
    serve_command.make_context("serve", words[1:])


def test_memory_and_grace_period_of_a_pod_fit_its_budget_and_drain(capsys: pytest.CaptureFixture[str]) -> None:
    sheets = list(yaml.safe_load_all(written(capsys, "k8s", "--nodes", NODES, "--memory", "64MiB", "--no-check")))
    by_kind: dict[str, Any] = {sheet["kind"]: sheet["spec"] for sheet in sheets}
    pod = by_kind["Deployment"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["requests"]["memory"] == "96Mi"  # 32 before the first client, and the budget
    assert container["resources"]["limits"]["memory"] == "352Mi"
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + 300
    assert by_kind["Deployment"]["replicas"] == 3
    assert by_kind["PodDisruptionBudget"]["maxUnavailable"] == 1
    (metric,) = by_kind["HorizontalPodAutoscaler"]["metrics"]
    assert int(metric["pods"]["target"]["averageValue"]) < divide(64 << 20).slots == slots(described())


def test_a_pod_has_no_service_variables_and_trusts_no_proxy_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kubernetes would set FREIGHT_PORT and its like for the Service ``freight``, which are no settings."""
    for options, believed in (((), False), (("--trusted-proxy", "10.244.0.0/16"), True)):
        text = written(capsys, "k8s", "--nodes", NODES, "--no-check", *options)
        deployment = next(iter(yaml.safe_load_all(text)))
        pod = deployment["spec"]["template"]["spec"]
        assert pod["enableServiceLinks"] is False
        words = pod["containers"][0]["args"]
        assert ("--trusted-proxy" in words) is believed
        assert not believed or words[words.index("--trusted-proxy") + 1] == "10.244.0.0/16"
        serve_command.make_context("serve", [word if word != "/data" else "." for word in words[1:]])


def test_the_manifests_say_first_what_the_cluster_needs(capsys: pytest.CaptureFixture[str]) -> None:
    text = written(capsys, "k8s", "--nodes", NODES, "--no-check", "--image", "registry.example/f:1", "--claim", "files")
    heading = " ".join(line.removeprefix("# ").strip() for line in text.splitlines() if line.startswith("#"))
    assert "docker build -t registry.example/f:1 ." in heading
    assert "PersistentVolumeClaim files" in heading
    assert "adapter that offers the pods' metric freight_admission_running" in heading
    assert "Behind an ingress, add --trusted-proxy" in heading
    told = written(capsys, "k8s", "--nodes", NODES, "--no-check", "--trusted-proxy", "10.244.0.0/16")
    assert "Behind an ingress" not in told


@pytest.mark.parametrize("engine", ["haproxy", "caddy", "envoy"])
def test_the_third_line_is_how_to_start_the_first_node(capsys: pytest.CaptureFixture[str], engine: str) -> None:
    line = written(capsys, engine, "--nodes", NODES, "--no-check").splitlines()[2]
    words = line.removeprefix("#").split()
    assert words[:2] == ["freight", "serve"]
    serve_command.make_context("serve", words[2:])


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_the_example_of_the_manual_is_a_command(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, engine.name, "--nodes", "a:8080,b:8080", "--no-check")


def test_a_description_that_cannot_be_is_unservable() -> None:
    with pytest.raises(ConfigurationError):
        read_options({})
