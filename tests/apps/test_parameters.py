"""`config explain` tells what the calculation does: the same winner, whatever the sources are."""

import random
from collections.abc import Mapping

import pytest

from apps.documents import ENDPOINT
from tortie.apps.absorb import absorb
from tortie.apps.answers import ConfigAnswer, ConfigQuery, SettingAnswer
from tortie.apps.ctl.local import run_now
from tortie.apps.failure import Code, Failure
from tortie.apps.parameters import explain
from tortie.apps.requests import Verb
from tortie.apps.told import remarks, settings_told
from tortie.apps.verbs import service
from tortie.calc import Engine
from tortie.model.endpoint import Interface
from tortie.model.selector import parse_selector
from tortie.model.settings import Scope, applying, overlaps
from tortie.resources.felix import find
from tortie.resources.felix.levels import Level, environment_level, file_level
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Key, Put

SIZE = "BPFMapSizeConntrack"


def settings(name: str, spec: str, annotations: str = "{}") -> str:
    return (
        "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n"
        f"metadata: {{name: {name}, annotations: {annotations}}}\nspec: {spec}\n"
    )


def asked(*words: str, everything: bool = False, files: Mapping[str, str] | None = None) -> ConfigQuery:
    listed = [{"source": name, "text": text} for name, text in (files or {}).items()]
    return {"parameters": list(words), "everything": everything, "node": None, "files": listed}  # type: ignore[typeddict-item]


class World:
    """Stored documents, and what an agent of the node `me` is told beside them."""

    def __init__(self, *documents: str, environment: Mapping[str, str] | None = None, file: str = "") -> None:
        self.store = MemoryStore()
        self.told: list[Level] = [environment_level(environment or {}), file_level(file, "felix.cfg")]
        for number, text in enumerate(documents):
            run_now(service.write(self.store, Verb.APPLY, [{"source": f"{number}.yaml", "text": text}]))

    def explain(self, *words: str, **more: object) -> ConfigAnswer:
        return run_now(explain(self.store, asked(*words, **more), "me", self.told))  # type: ignore[arg-type]

    def one(self, word: str) -> SettingAnswer:
        (found,) = self.explain(word)["parameters"]
        return found

    def engine(self) -> Engine:
        """What the agent makes of the same."""
        engine = Engine("me", settings_told(self.told))
        entries, _ = run_now(self.store.list())
        for entry in entries:
            absorb(engine, entry.key, entry.value)
        engine.set_interface("eth0", Interface(name="eth0", index=2))
        engine.in_sync()
        engine.flush()
        return engine


LEVELS = ("environment", "file", "node annotation", "node field", "default annotation", "default field")
"""Strongest first."""


def world_of(values: Mapping[str, str], name: str, field: str) -> World:
    def body(level: str) -> tuple[str, str]:
        key = f"config.projectcalico.org/{name}"
        annotation = values.get(f"{level} annotation")
        spec = values.get(f"{level} field")
        return (
            f"{{{field}: {spec}}}" if spec is not None else "{}",
            f'{{{key}: "{annotation}"}}' if annotation is not None else "{}",
        )

    return World(
        settings("node.me", *body("node")),
        settings("default", *body("default")),
        settings("node.other", f"{{{field}: 1}}"),
        environment={f"FELIX_{name.upper()}": values["environment"]} if "environment" in values else None,
        file=f"{name} = {values['file']}\n" if "file" in values else "",
    )


@pytest.mark.parametrize("seed", range(150))
def test_the_strongest_source_wins_and_the_calculation_agrees(seed: int) -> None:
    rng = random.Random(seed)
    values = {level: str(rng.randrange(10, 99)) for level in LEVELS if rng.random() < 0.5}
    for level in values:
        if level in ("environment", "file") and rng.random() < 0.3:
            values[level] = rng.choice(("many", " ", "0x1f"))  # unreadable, empty, of another form
    saying = [level for level in LEVELS if values.get(level, " ").strip()]
    world = world_of(values, SIZE, "bpfMapSizeConntrack")
    expected = values[saying[0]] if saying else "512000"
    size = 512000 if expected == "many" else int(expected, 0)

    assert world.engine().desired().tracking.size == size
    found = world.one(SIZE)
    assert int(found["value"], 0) == size
    winners = [one for one in found["said"] if one["state"] == "wins"]
    assert len(winners) == (1 if saying else 0)
    assert found["source"] == (winners[0]["source"] if winners else "default")
    if saying:
        first = saying[0].split()[0]
        names = {"environment": "environment", "file": "felix.cfg"}
        assert found["source"] == names.get(first, f"FelixConfiguration({'node.me' if first == 'node' else 'default'})")
        assert winners[0]["place"].startswith("annotation") == saying[0].endswith("annotation")
        assert bool(winners[0]["problem"]) == (expected == "many")
    states = [one["state"] for one in found["said"]]
    assert states.count("overridden") == max(0, len(saying) - 1)
    assert states[-1] == "elsewhere"


def test_unreadable_text_in_a_strong_source_hides_what_weaker_ones_say() -> None:
    world = World(settings("default", "{interfaceExclude: docker0}"), environment={"FELIX_INTERFACEEXCLUDE": "a b"})
    found = world.one("InterfaceExclude")
    assert (found["value"], found["source"]) == ("kube-ipvs0", "environment")
    assert "'a b' is no interface name" in found["said"][0]["problem"]
    assert any("InterfaceExclude" in problem for problem in world.engine().settings_problems())


def test_a_saying_that_an_agent_does_not_start_with_is_told() -> None:
    world = World(environment={"FELIX_FailsafeInboundHostPorts": "tcp:ssh"})
    (said,) = world.one("FailsafeInboundHostPorts")["said"]
    assert "no agent starts with it" in said["problem"]
    with pytest.raises(
        Failure, match="environment: FELIX_FailsafeInboundHostPorts: 'tcp:ssh' is no failsafe"
    ) as caught:
        settings_told(world.told)
    assert caught.value.code is Code.USAGE


def test_without_parameters_it_tells_what_is_set_for_the_node_and_with_all_everything() -> None:
    world = World(
        settings("default", "{xdpEnabled: false}"),
        settings("node.other", "{healthPort: 1}"),
        environment={"FELIX_LOGSEVERITYSCREEN": "debug", "FELIX_XDPENABEL": "x"},
    )
    written = {find(field).name for field in ("floatingIPs", "nftablesMode", "nftablesFlowTableOffload")}
    written |= {"BPFConnectTimeLoadBalancing", "BPFHostNetworkedNATWithoutCTLB", "ClusterGUID"}
    answer = world.explain()
    assert {one["name"] for one in answer["parameters"]} == {"XDPEnabled", "LogSeverityScreen"} | written
    assert [(one["name"], one["hint"]) for one in answer["unknown"]] == [("XDPENABEL", "did you mean XDPEnabled?")]
    used = {one["name"]: one["is_used"] for one in answer["parameters"]}
    assert (used["XDPEnabled"], used["LogSeverityScreen"]) == (True, False)
    assert len(world.explain(everything=True)["parameters"]) == 219


def test_documents_of_a_question_are_laid_over_those_stored() -> None:
    world = World(settings("default", "{xdpEnabled: false, healthPort: 5}"))
    answer = world.explain("XDPEnabled", "healthport", files={"x.yaml": settings("default", "{xdpEnabled: true}")})
    assert [(one["value"], one["source"]) for one in answer["parameters"]] == [
        ("true", "FelixConfiguration(default)"),
        ("9099", "default"),
    ]
    assert world.one("XDPEnabled")["value"] == "false"


def test_an_unknown_parameter_is_refused_before_anything_is_read() -> None:
    with pytest.raises(Failure, match=r"did you mean XDPEnabled\?") as caught:
        World().explain("XDPEnable", files={"x.yaml": "["})
    assert caught.value.code is Code.USAGE


def test_a_damaged_document_counts_as_absent_and_is_named() -> None:
    world = World(settings("default", "{xdpEnabled: false}"), settings("node.me", "{failsafeInboundHostPorts: []}"))
    entry = run_now(world.store.get(Key("FelixConfiguration", "", "node.me")))
    for damaged in (b"{", entry.value.replace(b'"failsafeInboundHostPorts":[]', b'"failsafeInboundHostPorts":5')):
        store = MemoryStore()
        run_now(store.commit([Put(entry.key, damaged, 0)]))
        answer = run_now(explain(store, asked("failsafeInboundHostPorts"), "me", ()))
        assert answer["parameters"][0]["source"] == "default"
        (note,) = answer["notes"]
        assert "FelixConfiguration(node.me)" in note
        assert "it counts as absent" in note


RACK, BOTH = parse_selector("has(rack)"), parse_selector("rack == 'a'")
SCOPES = [
    Scope("default"),
    Scope("node.me"),
    Scope("node.other"),
    Scope("young", RACK, "2026-02-01T00:00:00Z"),
    Scope("b-old", RACK, "2026-01-01T00:00:00Z"),
    Scope("a-old", BOTH, "2026-01-01T00:00:00Z"),
    Scope("new", RACK, ""),
    Scope("nobody"),
]


@pytest.mark.parametrize(
    ("labels", "expected", "others"),
    [
        (None, ["node.me", "default"], 0),
        ({}, ["node.me", "default"], 0),
        ({"rack": "a"}, ["node.me", "a-old", "default"], 3),
        ({"rack": "b"}, ["node.me", "b-old", "default"], 2),
    ],
)
def test_of_the_documents_that_select_a_node_the_oldest_holds_alone(
    labels: dict[str, str] | None, expected: list[str], others: int
) -> None:
    for scopes in (SCOPES, SCOPES[::-1]):
        assert [scope.name for scope in applying(scopes, "me", labels)] == expected
        told = overlaps(scopes, labels)
        assert len(told) == (1 if others else 0)
        assert sum(text.count(",") for text in told) == max(0, others)


def test_the_labels_of_the_node_choose_a_document_and_change_what_holds() -> None:
    engine = World(settings("rack", "{nodeSelector: has(rack), bpfMapSizeConntrack: 7}")).engine()
    sizes = []
    for name, labels in (("other", {"rack": "a"}), ("me", {"rack": "a"}), ("me", {"row": "b"}), ("me", None)):
        engine.set_node(name, labels)
        engine.flush()
        sizes.append(engine.desired().tracking.size)
    assert sizes == [512000, 7, 512000, 512000]


def test_documents_of_other_kinds_do_not_matter() -> None:
    assert [one["name"] for one in World(ENDPOINT).explain()["parameters"]] == ["ClusterGUID"]


NODE_DOCUMENT = """\
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: me}
spec: {bgp: {ipv4IPIPTunnelAddr: 10.0.0.1}, ipv4VXLANTunnelAddr: 10.0.0.2, vxlanTunnelMACAddrV6: "0a:1b:2c:3d:4e:5f"}
"""


def test_cluster_information_and_the_node_supply_what_only_they_know() -> None:
    world = World(NODE_DOCUMENT, NODE_DOCUMENT.replace("name: me", "name: you").replace("10.0", "10.1"))
    found = {one["name"]: (one["value"], one["source"], one["place"]) for one in world.explain()["parameters"]}
    node = "Node(me)"
    assert found.pop("ClusterGUID")[1:] == ("ClusterInformation(default)", "spec.clusterGUID")
    assert found == {
        "IpInIpTunnelAddr": ("10.0.0.1", node, "spec.bgp.ipv4IPIPTunnelAddr"),
        "IPv4VXLANTunnelAddr": ("10.0.0.2", node, "spec.ipv4VXLANTunnelAddr"),
        "VXLANTunnelMACAddrV6": ("0a:1b:2c:3d:4e:5f", node, "spec.vxlanTunnelMACAddrV6"),
    }


def test_what_is_said_for_this_node_alone_is_stronger_than_what_is_said_for_all() -> None:
    key = "config.projectcalico.org/IPv4VXLANTunnelAddr"
    general = settings("default", "{}", f"{{{key}: 10.0.0.8}}")
    own = settings("node.me", "{}", f"{{{key}: 10.0.0.9}}")
    assert World(general).one("IPv4VXLANTunnelAddr")["value"] == "10.0.0.8"
    assert World(general, NODE_DOCUMENT).one("IPv4VXLANTunnelAddr")["value"] == "10.0.0.2"
    assert World(general, NODE_DOCUMENT, own).one("IPv4VXLANTunnelAddr")["value"] == "10.0.0.9"
    told = {"FELIX_IPV4VXLANTUNNELADDR": "10.0.0.7"}
    assert World(general, NODE_DOCUMENT, own, environment=told).one("IPv4VXLANTunnelAddr")["value"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, []),
        ({"TyphaCN": "a", "TyphaKeyFile": "/k", "TyphaCertFile": "/c", "TyphaCAFile": "/a"}, []),
        ({"TyphaCN": "none"}, []),
        ({"TyphaCN": "a", "TyphaKeyFile": "/k"}, ["TyphaKeyFile, TyphaCN need TyphaCertFile, TyphaCAFile too"]),
        (
            {"TyphaKeyFile": "/k", "TyphaCertFile": "/c", "TyphaCAFile": "/a"},
            ["TyphaKeyFile, TyphaCertFile, TyphaCAFile need TyphaCN or TyphaURISAN too"],
        ),
        ({"EtcdAddr": "none"}, ["DatastoreType etcdv3 needs EtcdEndpoints, or EtcdAddr too"]),
        ({"EtcdAddr": "none", "EtcdEndpoints": "http://a:1"}, []),
        ({"EtcdAddr": "none", "DatastoreType": "kubernetes"}, []),
        (
            {"RouteTableRange": "1-5", "RouteTableRanges": "1-5"},
            ["RouteTableRange and RouteTableRanges are both set: remove RouteTableRange"],
        ),
    ],
)
def test_what_makes_no_sense_together_is_noted(told: dict[str, str], expected: list[str]) -> None:
    world = World(environment={f"FELIX_{name}": text for name, text in told.items()})
    assert world.explain()["notes"] == expected
    assert [line for line in remarks(world.told) if not line.startswith("environment: ")] == expected


def test_conflicts_are_looked_for_across_sources() -> None:
    world = World(settings("default", "{routeTableRanges: [{min: 1, max: 5}]}"), file="RouteTableRange = 1-5")
    assert world.explain()["notes"] == ["RouteTableRange and RouteTableRanges are both set: remove RouteTableRange"]
