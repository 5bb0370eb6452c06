"""Every verb on a datastore file and on an agent's socket: what it prints, and its exit code."""

import io
import json
from pathlib import Path
from typing import NoReturn

import pytest

from apps.documents import ENDPOINT, PAIR, POLICY, network_set, tier
from apps.shell import Shell
from tortie.apps.failure import Code, Failure


@pytest.fixture
def filled(either: Shell) -> Shell:
    """With an endpoint and a policy in the datastore."""
    assert either("apply", "-f", either.file(PAIR))[0] == 0
    return either


def order(shell: Shell, name: str = "redis") -> object:
    document = json.loads(shell("get", "gnp", name, "-o", "json")[1])
    return document["spec"]["order"]


def labels(shell: Shell) -> object:
    return json.loads(shell("get", "hep", "node2-eth0", "-o", "json")[1])["metadata"].get("labels")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        # create
        (("create", "-f", "SET"), 0, "Successfully created 1 'GlobalNetworkSet' resource(s)"),
        (("create", "-f", "PAIR"), 6, "resource already exists: HostEndpoint(node2-eth0), GlobalNetworkPolicy(redis)"),
        (("create", "-f", "PAIR"), 6, "nothing was changed: use apply to change it, or --skip-exists"),
        (("create", "-f", "PAIR", "--skip-exists"), 0, "Successfully created 2 resource(s)"),
        (("create", "-f", "VERSION"), 3, "metadata.resourceVersion: TT1906"),
        # replace
        (("replace", "-f", "PAIR"), 0, "Successfully replaced 2 resource(s)"),
        (("replace", "-f", "SET"), 5, "GlobalNetworkSet(s); nothing was changed: use apply or create"),
        (("replace", "-f", "VERSION"), 6, "resourceVersion '999' is out of date (latest: 1); get it again"),
        # apply
        (("apply", "-f", "VERSION"), 6, "resourceVersion '999' is out of date"),
        (("apply", "-f", "PAIR", "-n", "x"), 3, "TT1905 HostEndpoint is not namespaced; leave out --namespace"),
        (("apply", "-f", "PAIR", "-n", "X Y"), 2, "namespace 'X Y' is none"),
        (("apply", "-f", "EMPTY"), 3, "TT1901 no resources specified in file; write at least one document"),
        (("apply", "-f", "EMPTY", "--skip-empty"), 0, "No resources specified"),
        # patch
        (("patch", "gnp", "redis", "-p", "{spec: {order: 3}}"), 0, "Successfully patched 1 'GlobalNetworkPolicy' res"),
        (("patch", "gnp", "redis", "-p", '{"spec":{"order":3}}', "-t", "merge"), 0, "GlobalNetworkPolicy(redis) conf"),
        (("patch", "gnp", "redis", "-p", "{spec: {order: 9}}"), 0, "GlobalNetworkPolicy(redis) unchanged"),
        (("patch", "gnp", "nope", "-p", "{}"), 5, "GlobalNetworkPolicy(nope); see tortie get globalnetworkpolicy"),
        (("patch", "gnp", "redis", "-p", "{spec: {ordr: 3}}"), 3, 'unknown field "ordr"; did you mean order?'),
        (("patch", "gnp", "redis", "-p", "{spec: {order: 3, order: 4}}"), 3, "--patch:1:"),
        (("patch", "gnp", "redis", "-p", "[]", "-t", "json"), 0, "unchanged"),
        (("patch", "gnp", "redis", "-p", "{}", "-t", "json"), 3, "TT1908 a json patch is a list"),
        (("patch", "gnp", "redis", "-p", "{metadata: {name: b}}"), 2, "a patch cannot change apiVersion, kind, name"),
        (("patch", "gnp", "redis", "-p", "{kind: Tier}"), 2, "a patch cannot change apiVersion, kind, name"),
        (("patch", "gnp", "redis", "-p", "{metadata: {resourceVersion: '77'}}"), 6, "'77' is out of date"),
        (("patch", "gnp", "redis", "-p", "{spec: {tier: t}}"), 3, "TT1903 tier 't' does not exist; create it first"),
        (("patch", "gnp", "redis"), 2, "give either -p PATCH or --patch-file FILE"),
        (("patch", "gnp", "redis", "--patch-file", "/nonexistent"), 2, "/nonexistent: No such file or directory"),
        (("patch", "gnp", "redis", "-p", "{}", "-t", "burn"), 2, "'burn'"),
        (("patch", "gnp"), 2, "patch what? give KIND and NAME"),
        # label
        (("label", "hep", "node2-eth0", "a=b"), 0, "Successfully set label a on HostEndpoint node2-eth0"),
        (("label", "hep", "node2-eth0", "hep=redis-host"), 0, "Successfully updated label hep on HostEndpoint"),
        (("label", "hep", "node2-eth0", "hep=x"), 1, "key hep is already present. please use '--overwrite' to set"),
        (("label", "hep", "node2-eth0", "hep=x", "--overwrite"), 0, "Successfully updated label hep on"),
        (("label", "hep", "node2-eth0", "hep", "--remove"), 0, "Successfully removed label hep from HostEndpoint"),
        (("label", "hep", "node2-eth0", "hep-"), 0, "Successfully removed label hep from HostEndpoint node2-eth0"),
        (("label", "hep", "node2-eth0", "x", "--remove"), 1, "cannot remove label of HostEndpoint node2-eth0, key x"),
        (("label", "hep", "node2-eth0", "x"), 2, "invalid label x; write key=value, or key- to remove it"),
        (("label", "hep", "node2-eth0", "x=y", "--remove"), 2, "invalid label x=y; give keys alone to --remove"),
        (("label", "hep", "node2-eth0", "x=y", "x=z"), 2, "invalid label x=z; give each key once"),
        (("label", "hep", "node2-eth0", "=y"), 2, "invalid label '=y': it has no key"),
        (("label", "hep", "node2-eth0", "x=ä"), 3, "TT1113"),
        (("label", "hep", "nope", "x=y"), 5, "HostEndpoint(nope)"),
        (("label", "hep", "node2-eth0"), 2, "which label? give KEY=VALUE"),
        # delete
        (("delete", "gnp", "redis"), 0, "Successfully deleted 1 'GlobalNetworkPolicy' resource(s)"),
        (("delete", "gnp", "redis", "nope"), 5, "GlobalNetworkPolicy(nope); nothing was changed: correct the name, or"),
        (("delete", "-s", "gnp", "redis", "nope"), 0, "Successfully deleted 2 'GlobalNetworkPolicy' resource(s)"),
        (("delete", "-f", "VERSION"), 6, "is out of date"),
        (("delete", "tier", "default"), 1, "it is built in; delete its policies instead"),
        (("delete", "hep", "node2-eth0", "-n", "x"), 2, "HostEndpoint is not namespaced"),
        # edit
        (("edit", "gnp", "nope"), 5, "GlobalNetworkPolicy(nope)"),
        (("edit", "gnp"), 2, "edit which gnp? give at least one NAME"),
        # describe
        (("describe", "gnp", "redis"), 0, "Selects: HostEndpoint(node2-eth0)"),
        (("describe", "gnp"), 0, "GlobalNetworkPolicy redis\n"),
        (("describe", "gns"), 0, "There is no GlobalNetworkSet"),
        (("describe", "hep", "node2-eth0", "nope"), 5, "resource does not exist: HostEndpoint(nope)"),
        (("describe", "hepp"), 2, "did you mean"),
        (("describe", "hep", "-l", "hep=x"), 0, "There is no HostEndpoint"),
        (("describe", "hep", "nope"), 5, "resource does not exist: HostEndpoint(nope)"),
        # KIND/NAME
        (("describe", "gnp/redis"), 0, "Selects: HostEndpoint(node2-eth0)"),
        (("describe", "gnp/redis", "tier/default"), 2, "describe takes one KIND at a time"),
        (("patch", "gnp/redis", "-p", "{spec: {order: 3}}"), 0, "Successfully patched 1 'GlobalNetworkPolicy' res"),
        (("patch", "gnp", "redis", "nope", "-p", "{}"), 2, "patch changes one resource; give one NAME"),
        (("label", "hep/node2-eth0", "a.b/c=d"), 0, "Successfully set label a.b/c on HostEndpoint node2-eth0"),
        (("label", "hep", "node2-eth0", "a.b/c=d"), 0, "Successfully set label a.b/c on HostEndpoint node2-eth0"),
        (("label", "hep/node2-eth0"), 2, "which label?"),
        (("label", "hep"), 2, "label what? give KIND and NAME"),
        (("edit", "gnp/nope"), 5, "GlobalNetworkPolicy(nope)"),
        (("delete", "gnp/redis"), 0, "Successfully deleted 1 'GlobalNetworkPolicy' resource(s)"),
        (("delete", "gnp/redis", "hep/node2-eth0"), 2, "delete takes one KIND at a time"),
        (("delete", "gnp,hep", "redis"), 2, "delete takes one KIND at a time"),
        (("delete", "gnp/"), 2, "resource name may not be empty"),
        (("delete", "gnp", ""), 2, "resource name may not be empty"),
        (("delete", "gnp"), 2, "give KIND and at least one NAME"),
        # diff
        (("diff", "-f", "PAIR"), 0, ""),
        (("diff", "-f", "SET"), 1, "+++ given/GlobalNetworkSet(s)"),
        (("diff", "-f", "BAD"), 3, "did you mean apiVersion?"),
        (("diff",), 2, "give documents with -f FILE"),
    ],
)
def test_a_verb_says_what_came_of_it(filled: Shell, arguments: tuple[str, ...], code: int, said: str) -> None:
    texts = {
        "PAIR": PAIR,
        "SET": network_set("s"),
        "BAD": PAIR.replace("apiVersion", "piVersion"),
        "VERSION": ENDPOINT.replace("{name:", '{resourceVersion: "999", name:'),
        "EMPTY": "# nothing\n",
    }
    words = [filled.file(texts[word], f"{word}.yaml") if word in texts else word for word in arguments]
    if code:
        before = filled("get", "hep,gnp,gns,tier", "-o", "json")[1]
    found, out, err = filled(*words)
    assert (found, said in out + err) == (code, True), out + err
    if code and arguments[0] not in ("describe", "diff"):
        assert filled("get", "hep,gnp,gns,tier", "-o", "json")[1] == before


def test_a_patch_file_and_a_json_patch_change_what_they_say(filled: Shell) -> None:
    path = filled.file("spec:\n  order: 77\n", "patch.yaml")
    assert filled("patch", "gnp", "redis", "--patch-file", path)[0] == 0
    assert order(filled) == 77
    operations = '[{"op": "test", "path": "/spec/order", "value": 77}, {"op": "remove", "path": "/spec/order"}]'
    assert filled("patch", "gnp", "redis", "--type=json", "-p", operations)[0] == 0
    assert "order" not in json.loads(filled("get", "gnp", "redis", "-o", "json")[1])["spec"]


@pytest.mark.parametrize("text", ["日本語", "😀", "\x1b[31m\u202e"])
def test_any_text_survives_a_change_beside_it(either: Shell, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(network_set("any", "10.0.0.0/8"))
    document["metadata"]["annotations"] = {"note": text}
    either("apply", "-f", either.file(json.dumps(document, ensure_ascii=False)))
    assert either("label", "gns", "any", "a=b")[0] == 0
    assert either("patch", "gns", "any", "-p", "{spec: {nets: [10.1.0.0/16]}}")[0] == 0
    monkeypatch.setenv("EDITOR", "sed -i s/10.1.0.0/10.2.0.0/")
    assert either("edit", "gns", "any")[0] == 0
    stored = json.loads(either("get", "gns", "any", "-o", "json")[1])
    assert (stored["metadata"]["annotations"]["note"], stored["spec"]["nets"]) == (text, ["10.2.0.0/16"])
    _, out, _ = either("get", "gns", "any", "-o", "yaml")
    assert either("replace", "-f", either.file(out))[1].startswith("GlobalNetworkSet(any) unchanged")
    assert out.replace("\n", "").isprintable()


def test_several_labels_are_changed_at_once(filled: Shell) -> None:
    assert filled("label", "hep", "node2-eth0", "a=1", "b=", "hep-")[0] == 0
    assert labels(filled) == {"a": "1", "b": ""}


@pytest.mark.parametrize("how", ["--dry-run", "--dry-run=server", "--dry-run=client"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "-f", "OTHER"),
        ("create", "-f", "OTHER"),
        ("replace", "-f", "PAIR"),
        ("delete", "-f", "PAIR"),
        ("delete", "gnp", "redis"),
        ("patch", "gnp", "redis", "-p", "{spec: {order: 1}}"),
        ("label", "hep", "node2-eth0", "a=b"),
        ("edit", "gnp", "redis"),
    ],
)
def test_a_dry_run_changes_nothing_wherever_it_stands(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, how: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i 's/order: 9/order: 4/'")
    texts = {"PAIR": PAIR.replace("order: 9", "order: 8"), "OTHER": network_set("s")}
    words = [filled.file(texts[word], f"{word}.yaml") if word in texts else word for word in arguments]
    before = filled("get", "hep,gnp,gns,tier", "-o", "json")[1]
    for place in (1, len(words)):
        code, out, err = filled(*words[:place], how, *words[place:])
        assert (code, err) == (0, "")
        assert "(dry run)" in out
        assert "Dry run: 1 '" in out or "Dry run: 2 resource(s)" in out
        judge = "checked by itself, without what is stored" if how.endswith("client") else "nothing was written"
        assert judge in out
    assert filled("get", "hep,gnp,gns,tier", "-o", "json")[1] == before


def test_a_dry_run_of_a_client_finds_what_is_wrong_without_a_datastore(shell: Shell) -> None:
    assert shell("create", "--dry-run=client", "-f", shell.file(PAIR))[0] == 0
    bad = shell.file(PAIR.replace("apiVersion", "piVersion"), "bad.yaml")
    assert shell("apply", "--dry-run=client", "-f", bad)[0] == 3
    assert shell("delete", "--dry-run=client", "gnpp", "x")[0] == 2
    assert shell("apply", "--dry-run=perhaps", "-f", bad)[0] == 2
    assert not shell.datastore.exists()


def test_dry_run_none_writes(either: Shell) -> None:
    assert "created\n" in either("apply", "--dry-run=none", "-f", either.file(PAIR))[1]


def test_a_write_answers_in_json_with_the_same_exit_code(filled: Shell) -> None:
    code, out, _ = filled("create", "-o", "json", "-f", filled.file(network_set("s")))
    assert (code, [one["action"] for one in json.loads(out)["changes"]]) == (0, ["created"])
    code, out, _ = filled("label", "hep", "node2-eth0", "a=b", "-o", "json", "--no-wait")
    assert (code, json.loads(out)["enforced"]) == (0, [])


def test_documents_come_from_standard_input_and_from_folders(either: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(PAIR.encode())

    monkeypatch.setattr("sys.stdin", Stdin())
    assert "Successfully created 2 resource(s)" in either("create", "-f", "-")[1]
    folder = either.folder / "many"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.yaml").write_text(network_set("a"))
    assert either("create", "-f", str(folder))[0] == 3
    assert either("create", "-f", str(folder), "--skip-empty")[1] == "No resources specified\n"
    assert "Successfully created 1" in either("create", "-f", str(folder), "-R")[1]


def test_diff_shows_what_differs_and_nothing_that_the_author_does_not_say(filled: Shell) -> None:
    code, out, err = filled("diff", "-f", filled.file(PAIR.replace("order: 9", "order: 8")))
    assert (code, err) == (1, "")
    assert out.startswith("--- stored/GlobalNetworkPolicy(redis)\n+++ given/GlobalNetworkPolicy(redis)\n@@ ")
    assert [line for line in out.splitlines() if line[0] in "+-"][2:] == ["-  order: 9", "+  order: 8"]
    code, out, _ = filled("diff", "-f", filled.file(network_set("s")))
    assert code == 1
    assert all(line[0] in "+-@" for line in out.splitlines())
    assert "uid" not in out
    assert "resourceVersion" not in out


def test_diff_is_coloured_on_a_terminal_unless_told_otherwise(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("apply", "-f", shell.file(PAIR))
    path = shell.file(POLICY.replace("order: 9", "order: 8"))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[31m-  order: 9\x1b[0m\n\x1b[32m+  order: 8\x1b[0m" in shell("diff", "-f", path)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shell("diff", "-f", path)[1]


def test_diff_tells_a_failure_from_a_difference(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shell.file(PAIR)
    assert shell("diff", "-f", path)[0] == 1
    assert shell("diff", "-f", shell.file(tier("default"), "tier.yaml"))[0] == 3

    def fail(*arguments: object) -> NoReturn:
        raise Failure(Code.FAILED, "the disk is full")

    monkeypatch.setattr("tortie.apps.ctl.local.FileTarget.write", fail)
    assert shell("diff", "-f", path) == (2, "", "tortie: the disk is full\n")


def editor(folder: Path, *steps: str) -> str:
    """An editor that does one step each time it is called, with sed, and keeps what it was given."""
    for number, step in enumerate(steps):
        (folder / f"step{number}").write_text(step)
    script = folder / "editor"
    script.write_text(
        f"#!/bin/sh\ncd {folder}\nn=$(ls seen* 2>/dev/null | wc -l)\n"
        'cp "$1" seen$n\n[ -s step$n ] && sed -i -f step$n "$1"\nexit 0\n'
    )
    script.chmod(0o755)
    return str(script)


def test_edit_stores_what_was_changed(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(filled.folder, "s/order: 9/order: 4/"))
    monkeypatch.setattr("tempfile.tempdir", str(filled.folder))
    code, out, err = filled("edit", "gnp", "redis")
    assert (code, err) == (0, "")
    assert "Successfully edited 1 'GlobalNetworkPolicy' resource(s)" in out
    assert order(filled) == 4
    assert list(filled.folder.glob("tortie-edit-*")) == []


def test_edit_of_several_resources_writes_those_that_changed(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    filled("apply", "-f", filled.file(network_set("a", "10.0.0.0/8") + "\n---\n" + network_set("b", "10.1.0.0/16")))
    monkeypatch.setenv("EDITOR", editor(filled.folder, "s/10.1.0.0/10.2.0.0/"))
    code, out, _ = filled("edit", "gns", "a", "b")
    assert code == 0
    assert "GlobalNetworkSet(b) configured" in out
    assert "GlobalNetworkSet(a)" not in out


@pytest.mark.parametrize("step", ["", "s/^# .*//", "d", "s/name: redis/name: redis /"])
def test_edit_without_a_change_changes_nothing(filled: Shell, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setenv("EDITOR", editor(filled.folder, step))
    assert filled("edit", "gnp", "redis") == (0, "Nothing was changed\n", "")


def test_edit_opens_again_with_what_is_wrong_at_its_place(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(filled.folder, "s/order: 9/order: bad/", "s/order: bad/order: 5/"))
    assert filled("edit", "gnp", "redis")[0] == 0
    assert order(filled) == 5
    seen = (filled.folder / "seen1").read_text().splitlines()
    assert seen[0].startswith("#! line ")
    place, _, what = seen[0].partition(": ")
    number = int(place.split()[2].rstrip(","))
    assert seen[number - 1] == "  order: bad"
    assert "TT1103" in what


def test_edit_opens_again_with_what_the_datastore_refuses(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(filled.folder, "s/tier: default/tier: gone/", "s/tier: gone/tier: kube-admin/"))
    assert filled("edit", "gnp", "redis")[0] == 0
    assert (filled.folder / "seen1").read_text().startswith("#! spec.tier: TT1903 tier 'gone' does not exist")


@pytest.mark.parametrize(
    ("steps", "code", "said"),
    [
        (("s/order: 9/order: bad/", ""), 3, "saved again without a correction"),
        (("s/name: redis/name: other/", ""), 2, "saved again without a correction"),
        (("/resourceVersion/s/[0-9][0-9]*/99/",), 6, "'99' is out of date"),
    ],
)
def test_edit_keeps_what_cannot_be_stored_and_says_where(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.setenv("EDITOR", editor(filled.folder, *steps))
    monkeypatch.setattr("tempfile.tempdir", str(filled.folder))
    found, _, err = filled("edit", "gnp", "redis")
    assert (found, said in err) == (code, True)
    (kept,) = filled.folder.glob("tortie-edit-*")
    assert f"your changes are in {kept}: correct them, then `tortie replace -f {kept}`" in err
    assert kept.stat().st_mode & 0o777 == 0o600
    assert order(filled) == 9


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("false", 1, "ended with exit code 1"), ("/nonexistent/ed", 2, "does not run"), ("'", 2, "does not run")],
)
def test_an_editor_that_fails_is_named(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: str
) -> None:
    monkeypatch.setenv("VISUAL", name)
    monkeypatch.setattr("tempfile.tempdir", str(filled.folder))
    found, _, err = filled("edit", "gnp", "redis")
    assert (found, said in err) == (code, True)
    assert "EDITOR=" in err
    assert list(filled.folder.glob("tortie-edit-*")) == []


def test_an_interrupt_keeps_what_was_typed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("apply", "-f", shell.file(PAIR))

    def interrupted(path: Path) -> NoReturn:
        path.write_text("half a document", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr("tortie.apps.ctl.editing.run_editor", interrupted)
    monkeypatch.setattr("tempfile.tempdir", str(shell.folder))
    code, _, err = shell("edit", "gnp", "redis")
    (kept,) = shell.folder.glob("tortie-edit-*")
    assert (code, kept.read_text(encoding="utf-8")) == (130, "half a document")
    assert f"interrupted; your changes are in {kept}" in err


def test_a_folder_that_takes_no_file_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("apply", "-f", shell.file(PAIR))
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    code, _, err = shell("edit", "gnp", "redis")
    assert (code, "name a folder for it with TMPDIR=" in err) == (1, True)
