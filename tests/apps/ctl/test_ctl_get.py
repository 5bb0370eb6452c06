"""`tortie get` on a datastore file and on an agent's socket: forms, choices, and what a watch shows."""

import json
import re
import signal
import subprocess
import sys

import pytest
import yaml

from apps.documents import PAIR, network_set, tier
from apps.shell import Shell

SETS = "\n---\n".join(network_set(name, "10.0.0.0/8") for name in ("a", "b"))


@pytest.fixture
def filled(either: Shell) -> Shell:
    """With an endpoint, a policy and two sets."""
    assert either("create", "-f", either.file(f"{PAIR}\n---\n{SETS}"))[0] == 0
    return either


SETS_TABLE = "NAME    \na       \nb       \n\n"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("gns",), SETS_TABLE),
        (("gns", "-o", "ps"), SETS_TABLE),
        (("gns", "--no-headers"), "a       \nb       \n"),
        (("gns", "-o", "wide"), "NAME    NETS         \na       10.0.0.0/8   \nb       10.0.0.0/8   \n\n"),
        (("gns", "a", "b"), "NAME    \na       \n\nNAME    \nb       \n\n"),
        (("gns,tier", "-o", "name"), "\n".join(
            ["globalnetworkset/a", "globalnetworkset/b", "tier/kube-admin", "tier/default", "tier/kube-baseline\n"]
        )),
        (("gns", "-l", "set=b", "-o", "name"), "globalnetworkset/b\n"),
        (("gns", "-l", "set in (a,c)", "-o", "name"), "globalnetworkset/a\n"),
        (("gns", "-l", "set == 'x'"), "NAME    \n\n"),
        (("hep", "-o", "custom-columns=IPS,name"), "IPS        NAME         \n10.0.0.5   node2-eth0   \n\n"),
        (("-f", "PAIR", "-o", "name"), "hostendpoint/node2-eth0\nglobalnetworkpolicy/redis\n"),
        (("-f", "EMPTY", "--skip-empty"), "No resources specified\n"),
        (("-f", "EMPTY", "--skip-empty", "-o", "json"), "[]\n"),
        (("gns/b", "tier/default", "gns/a", "-o", "name"), "globalnetworkset/b\nglobalnetworkset/a\ntier/default\n"),
        (("globalnetworkset/a",), "NAME    \na       \n\n"),
        (("gns", "a", "--export", "-o", "json"), json.dumps({
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkSet",
            "metadata": {"labels": {"set": "a"}, "name": "a"},
            "spec": {"nets": ["10.0.0.0/8"]},
        }, indent=2) + "\n"),
    ],
)  # fmt: skip
def test_get_prints_what_is_asked_for(filled: Shell, arguments: tuple[str, ...], printed: str) -> None:
    texts = {"PAIR": PAIR, "EMPTY": "# nothing\n"}
    words = [filled.file(texts[word], f"{word}.yaml") if word in texts else word for word in arguments]
    assert filled("get", *words) == (0, printed, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "get what? give KIND, several as KIND,KIND, or documents with -f FILE"),
        (("gns,",), 2, "has an empty kind"),
        (("gns", ""), 2, "may not be empty"),
        (("gns/a", "b"), 2, "'b' is no KIND/NAME"),
        (("gns", "gns/b"), 2, "write KIND NAME or KIND/NAME, not both"),
        (("np", "shop/web"), 2, "a namespace is given with --namespace"),
        (("gns/",), 2, "may not be empty"),
        (("gns,gnpp",), 2, "did you mean gnp?"),
        (("gns", "-o", "xml"), 2, "unrecognized output format 'xml'; use one of table, ps, wide, yaml"),
        (("gns", "-o", "json=x"), 2, "unrecognized output format"),
        (
            ("gns", "-o", "go-template={{.}}"),
            2,
            "'go-template' is not supported; use -o json with a program such as jq",
        ),
        (("gns", "-o", "go-template-file=x"), 2, "is not supported"),
        (("gns", "-o", "jsonpath={.items}"), 2, "'jsonpath' is not supported; use -o json"),
        (("gns", "-o", "custom-columns="), 2, "need to specify at least one column"),
        (("gns", "-o", "custom-columns=X"), 2, "unknown heading X, valid values are: NAME, NETS (of GlobalNetworkSet)"),
        (("gns", "-n", "x"), 2, "GlobalNetworkSet is not namespaced; leave out --namespace and --all-namespaces"),
        (("gns", "-A"), 2, "GlobalNetworkSet is not namespaced"),
        (("gns", "-a", "-n", "x"), 2, "cannot use both --namespace and --all-namespaces"),
        (("gns", "a", "-l", "set=a"), 2, "give names or --selector, not both"),
        (("gns", "-l", "set in a"), 2, "write it as in policies"),
        (("-f", "PAIR", "-w"), 2, "--watch follows kinds and names; leave out -f"),
        (("-f", "PAIR", "-l", "a=b"), 2, "leave out --all-namespaces and --selector"),
        (("-f", "EMPTY"), 3, "TT1901"),
        (("-f", "SET"), 5, "resource does not exist: GlobalNetworkSet(zz)"),
        (("gns", "a", "zz"), 5, "resource does not exist: GlobalNetworkSet(zz)"),
    ],
)
def test_get_refuses_with_a_remedy(filled: Shell, arguments: tuple[str, ...], code: int, said: str) -> None:
    texts = {"PAIR": PAIR, "EMPTY": "# nothing\n", "SET": network_set("zz")}
    words = [filled.file(texts[word], f"{word}.yaml") if word in texts else word for word in arguments]
    found, out, err = filled("get", *words)
    assert (found, said in err) == (code, True), err
    if code == 2:
        assert out == ""


def test_several_kinds_are_several_documents_that_can_be_applied_again(filled: Shell) -> None:
    for form in ("yaml", "json"):
        out = filled("get", "hep,gnp,gns,tier", "-o", form)[1]
        kinds = [one["kind"] for one in yaml.safe_load(out)]
        assert kinds == ["HostEndpointList", "GlobalNetworkPolicyList", "GlobalNetworkSetList", "TierList"]
        code, again, _ = filled("apply", "-f", filled.file(out, f"again.{form}"))
        assert (code, again.count(" unchanged\n")) == (0, 7)


def test_export_strips_only_what_was_asked_for_by_name(filled: Shell) -> None:
    assert "uid" in filled("get", "gns", "--export", "-o", "json")[1]
    assert "uid" not in filled("get", "gns", "a", "b", "--export", "-o", "json")[1]
    assert "resourceVersion" not in filled("get", "-f", filled.file(PAIR), "--export", "-o", "yaml")[1]


class Watch:
    """`tortie get -w` in a process of its own."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        where = ("--datastore", str(shell.datastore)) if shell.socket is None else ("--socket", str(shell.socket))
        program = "import sys; from tortie.apps.ctl.process import main; sys.argv[0] = 'tortie'; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *where, "get", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line, without the blanks that follow it."""
        assert self.process.stdout is not None
        return re.sub(r" +", " ", self.process.stdout.readline().rstrip())

    def interrupt(self) -> tuple[int, str, str]:
        """Press ^C; the exit code, and what was not read yet."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err


def test_a_watch_shows_what_comes_changes_and_goes(filled: Shell) -> None:
    watch = Watch(filled, "gns", "-w", "-l", "set", "-o", "wide")
    assert [watch.line() for _ in range(3)] == ["EVENT NAME NETS", "ADDED a 10.0.0.0/8", "ADDED b 10.0.0.0/8"]
    filled("apply", "-f", filled.file(network_set("c")))
    assert watch.line() == "ADDED c"
    filled("apply", "-f", filled.file(tier("t")))
    filled("apply", "-f", filled.file(network_set("a", "10.1.0.0/16")))
    assert watch.line() == "MODIFIED a 10.1.0.0/16"
    filled("label", "gns", "b", "set-")
    assert watch.line() == "DELETED b 10.0.0.0/8"
    filled("delete", "gns", "a")
    assert watch.line() == "DELETED a 10.1.0.0/16"
    assert watch.interrupt() == (0, "", "")


@pytest.mark.parametrize("form", ["json", "name", "yaml"])
def test_a_watch_of_names_has_every_form_and_waits_for_what_is_not_there_yet(filled: Shell, form: str) -> None:
    watch = Watch(filled, "gns", "a", "later", "-w", "-o", form)
    expected = {
        "json": ('{"type": "ADDED", "object": {"apiVersion"', '"name": "later"'),
        "name": ("globalnetworkset/a ADDED", "globalnetworkset/later ADDED"),
        "yaml": ("---", "name: later"),
    }[form]
    assert watch.line().startswith(expected[0])
    filled("apply", "-f", filled.file(network_set("later")))
    while expected[1] not in watch.line():
        assert watch.process.poll() is None
    code, _, err = watch.interrupt()
    assert (code, err) == (
        0,
        "tortie: resource does not exist: GlobalNetworkSet(later); see tortie get globalnetworkset\n",
    )


def test_a_watch_of_several_kinds_prints_a_heading_where_the_kind_changes(filled: Shell) -> None:
    watch = Watch(filled, "hep,gnp", "-w")
    lines = [watch.line() for _ in range(4)]
    assert lines == ["EVENT NAME NODE", "ADDED node2-eth0 node2", "EVENT NAME TIER", "ADDED redis default"]
    assert watch.interrupt()[0] == 0


def test_a_watch_ends_when_its_datastore_does(shell: Shell) -> None:
    shell("apply", "-f", shell.file(SETS))
    watch = Watch(shell, "gns", "-w", "--no-headers")
    assert watch.line() == "ADDED a"
    for path in shell.datastore.parent.iterdir():
        if path.is_file():
            path.unlink()
    _, err = watch.process.communicate(timeout=10)
    assert watch.process.returncode == 7
    assert "was deleted or replaced" in err or "no datastore" in err, err
