"""A file to a PolicyTest, or another document that describes a host: every problem with place, expected and remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tortie.apps.answers import SourceText
from tortie.apps.decoding import read_sources, settled
from tortie.apps.failure import Failure
from tortie.apps.files import read_files
from tortie.apps.policytest.fields import TEST
from tortie.resources.codec import QUESTIONS, Reading, decode_node
from tortie.resources.document import read_documents
from tortie.resources.fields import Fields, Json, Missing, describe, read_object, suggest
from tortie.resources.kind import Resource
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import Place, Problem, Problems
from tortie.store.protocol import Key

Spec = dict[str, Json]


class Unloadable(Exception):
    """A file that cannot be loaded; every problem of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of document that describes a host and its policy: what it is called, and the fields that it has beside
    `resources`. `code` and `message` are of a file that is no such document."""

    kind: str
    fields: Fields
    code: str
    message: str


TEST_FORM = Form("PolicyTest", TEST, "TT1970", "no test of policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A document that could be read, with the host and the policy that it describes.

    `texts`: what its resources were read from, to find the lines of rules again.
    """

    source: str
    spec: Spec
    root: Mapping
    resources: tuple[Resource, ...]
    texts: tuple[SourceText, ...]

    @property
    def host(self) -> Spec:
        """What the document says of the host."""
        return cast(Spec, self.spec.get("host", {}))

    @property
    def host_node(self) -> Mapping:
        """Where it says it."""
        node = self.root.get("host")
        return node if isinstance(node, Mapping) else self.root

    def items(self, key: str) -> list[tuple[Spec, Mapping]]:
        """The objects of a list, each with where it stands."""
        nodes = self.root.get(key)
        listed = [node for node in nodes.items if isinstance(node, Mapping)] if isinstance(nodes, Sequence) else []
        return list(zip(cast(list[Spec], self.spec.get(key, [])), listed, strict=True))


@dataclass(frozen=True, slots=True)
class PacketSpec:
    """A packet as the file has it. `line` is where it stands there."""

    fields: Spec
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest(Scenario):
    """A test that could be read."""

    packets: tuple[PacketSpec, ...]
    packet_nodes: tuple[Mapping, ...]


def read_test(file: SourceText) -> PolicyTest:
    """The test in the file. Raises: Unloadable."""
    found = read_scenario(file, TEST_FORM)
    packets = found.items("packets")
    return PolicyTest(
        source=found.source,
        spec=found.spec,
        root=found.root,
        resources=found.resources,
        texts=found.texts,
        packets=tuple(PacketSpec(spec, node.line) for spec, node in packets),
        packet_nodes=tuple(node for _, node in packets),
    )


def read_scenario(file: SourceText, form: Form, named: list[SourceText] | None = None) -> Scenario:
    """The document in the file. `named`: the files that it names, where they were read already. Raises: Unloadable."""
    source = file["source"]
    documents = list(read_documents(file["text"].encode("utf-8", "surrogateescape"), source))
    problems = documents[0].problems if documents else Problems(source)
    root = documents[0].root if documents else None
    if not isinstance(root, Mapping) or len(documents) != 1:
        if not problems:
            at = root or Scalar(1, 1, None, "")
            found = f"{len(documents)} documents" if len(documents) != 1 else describe(at)
            expected = f"one document of apiVersion tortie.io/v1 and kind {form.kind}"
            remedy = f"write one {form.kind} for each file; resources go below `resources`"
            problems.add(form.code, at, "", form.message, found=found, expected=expected, remedy=remedy)
        raise Unloadable(problems.listed())
    kind = root.get("kind")
    if isinstance(kind, Scalar) and isinstance(kind.value, str) and kind.value != form.kind:
        remedy = suggest(kind.value, [form.kind])
        remedy = f"answer it with {QUESTIONS[kind.value]}" if kind.value in QUESTIONS else remedy
        problems.add(form.code, kind, "kind", form.message, found=describe(kind), expected=form.kind, remedy=remedy)
        raise Unloadable(problems.listed())
    return _read(root, problems, file, form, named)


def unreadable(name: str, error: Failure) -> Problem:
    """The problem of a file that could not even be read."""
    problems = Problems(name)
    problems.add("TT1974", Place(0, 0), "", error.message.removeprefix(f"{name}: "))
    return problems.listed()[0]


def _read(root: Mapping, problems: Problems, file: SourceText, form: Form, named: list[SourceText] | None) -> Scenario:
    outside = Mapping(root.line, root.column, {key: one for key, one in root.entries.items() if key != "resources"})
    spec = read_object(outside, "", problems, form.fields)
    inline = tuple(_resources(root.get("resources"), problems))
    texts = named or []
    if named is None and isinstance(spec, dict) and (names := cast(list[str], spec.get("files", []))):
        texts = _read_files(names, root.get("files") or root, problems)
    first: dict[Key, Resource] = {}
    read = Reading(file["source"], root.line, None, None, () if problems else inline, tuple(problems.listed()))
    readings = [settled(read, "", first), *read_sources(texts, first=first)]
    wrong = [problem for reading in readings for problem in reading.problems]
    if wrong or isinstance(spec, Missing):
        raise Unloadable(wrong)
    return Scenario(
        source=file["source"],
        spec=spec,
        root=root,
        resources=tuple(resource for reading in readings for resource in reading.resources),
        texts=(file, *texts),
    )


def _resources(node: Node | None, problems: Problems) -> Iterator[Resource]:
    """The inline documents."""
    if node is None:
        return
    if not isinstance(node, Sequence):
        expected, remedy = "a list of documents", "write - before each document"
        problems.add("TT1103", node, "resources", "wrong type", found=describe(node), expected=expected, remedy=remedy)
        return
    for item in node.items:
        for resource in decode_node(item, problems):
            yield resource._replace(source=problems.source)


def _read_files(names: list[str], node: Node, problems: Problems) -> list[SourceText]:
    """The texts of files and folders, seen from the folder of the test; what cannot be read is a problem."""
    folder = Path() if problems.source == "stdin" else Path(problems.source).parent
    texts: list[SourceText] = []
    for name in names:
        try:
            texts += read_files([str(folder / name)], recursive=True)
        except Failure as error:
            problems.add("TT1974", node, "files", "a file that cannot be read", found=error.message)
    return texts
