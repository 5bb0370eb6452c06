"""Hostile documents: never a traceback, never a long time, never a valid resource by accident of damage alone."""

import time
from random import Random

from resource_text import document, policy

from tortie.resources.codec import decode_stored, decode_text, encode, lower
from tortie.resources.problems import InvalidDocument, Problem

SEEDS = [
    document("HostEndpoint", {"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"]}, labels={"a": "b"}),
    policy({"action": "Allow", "protocol": "TCP", "source": {"nets": ["10.0.0.0/8"], "selector": "has(a)"}}, order=5),
    "kind: GlobalNetworkSet\napiVersion: projectcalico.org/v3\nmetadata: {name: x}\nspec:\n  nets: [&a 10.0.0.0/8]\n",
    "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {bpfEnabled: yes}\n",
    document("NetworkPolicy", {"selector": "has(a)", "ingress": [{"action": "Deny"}]}, namespace="ns"),
    document("StagedNetworkPolicy", {"stagedAction": "Delete"}, namespace="ns"),
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, namespace: ns}\nspec:\n"
    "  podSelector: {matchLabels: {a: b}}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]\n",
    "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: x}\nspec:\n"
    "  {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: ['::/0']}]}]}\n",
    "- {apiVersion: projectcalico.org/v3, kind: TierList, items: [{metadata: {name: t}, spec: {order: 1}}]}\n",
]
PIECES = [
    *(
        "---\n",
        "*a",
        "&a ",
        "<<: ",
        "!x ",
        "!!binary ",
        "? ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "|\n",
        ">",
        "\t",
        "\0",
        "\ud800",
    ),
    *(
        ".nan",
        "1e999",
        "9" * 5000,
        "-1",
        "65536",
        "0x1",
        "~",
        "yes",
        "20:21",
        "10.0.0.0/33",
        "::/129",
        "\u2028",
        "é",
        "%YAML 9",
    ),
    *(
        "items: ",
        "kind: Tier",
        "spec: ",
        "[" * 300,
        "{a: " * 300,
        "((((",
        "!" * 2000,
        "x" * 70000,
        "\ufeff",
        "#",
        "\r",
        "\\u0000",
    ),
]


def judge(text: str | bytes) -> float:
    """Seconds it took; a resource that came out can be stored and read, and lowered or refused by value."""
    begin = time.process_time()
    resources, problems = decode_text(text, "hostile.yaml")
    elapsed = time.process_time() - begin
    for problem in problems:
        assert isinstance(problem, Problem)
        assert "\n" not in str(problem)
        assert len(str(problem)) < 2000
        assert problem.line >= 1 or problem.code == "TT1010"
    for resource in resources:
        assert decode_stored(encode(resource)).body == resource.body
        # A document may leave its namespace to whoever applies it.
        lower(resource._replace(namespace=resource.namespace or "default"))
    return elapsed


def mutate(text: str, random: Random) -> str:
    for _ in range(random.randint(1, 4)):
        at, length = random.randint(0, len(text)), random.choice((0, 0, 1, 5, 30))
        text = text[:at] + random.choice([*PIECES, text[at : at + 40], ""]) + text[at + length :]
    return text


def test_two_thousand_damaged_documents_give_problems_or_resources_in_bounded_time() -> None:
    random = Random(7)
    worst = max(judge(mutate(random.choice(SEEDS), random)) for _ in range(2000))
    assert worst < 1.0


def test_damaged_bytes_are_judged_too() -> None:
    random = Random(8)
    for _ in range(500):
        data = bytearray(random.choice(SEEDS).encode())
        for _ in range(random.randint(1, 5)):
            data[random.randrange(len(data))] = random.randrange(256)
        judge(bytes(data))


def test_damaged_stored_values_are_refused_by_value() -> None:
    random = Random(9)
    refused = 0
    for _ in range(1000):
        resources, _ = decode_text(random.choice(SEEDS), "seed")
        data = bytearray(encode(resources[0]))
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.choice(b'x0"{}[],:-\xff')
        try:
            lower(decode_stored(bytes(data)))
        except InvalidDocument as error:
            refused += 1
            assert str(error).startswith("datastore: TT1401 ")
    assert refused > 500


def test_giants_are_refused_in_bounded_time() -> None:
    giants = [
        *(
            "[" * 10_000,
            "- a\n" * 2_000_000,
            "a" * (11 << 20),
            "? " * 5_000,
            "- " * 20_000,
            "{a: " * 10_000,
            "&a " * 10_000,
        ),
        *(
            "x: 1\n" * 50_000,
            "".join(f"k{n}: 1\n" for n in range(100_000)),
            "---\n" * 10_000,
            '"' + "\\n" * 500_000 + '"',
        ),
    ]
    for giant in giants:
        begin = time.process_time()
        resources, problems = decode_text(giant, "giant.yaml")
        assert resources == []
        assert problems
        assert time.process_time() - begin < 5.0
