"""Commands on a datastore file, in this process: output and exit codes."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click
import pytest

from apps.documents import ENDPOINT, NORMAL, PAIR, POLICY, network_set
from apps.shell import Shell
from tortie.apps.ctl import foreign, target, wire
from tortie.apps.ctl.main import COMMANDS, cli, run
from tortie.apps.version import VERSION

TORTIE = Path(sys.executable).with_name("tortie")


def test_apply_says_what_it_did_and_that_nothing_enforces_it(shell: Shell) -> None:
    code, out, err = shell("apply", "-f", shell.file(PAIR))
    assert (code, err) == (0, "")
    assert "HostEndpoint(node2-eth0) created\n" in out
    assert "Successfully applied 2 resource(s)\n" in out
    assert "no agent serves it, so nothing enforces it yet" in out


def test_apply_of_one_kind_names_it(shell: Shell) -> None:
    _, out, _ = shell("apply", "-f", shell.file(POLICY))
    assert "Successfully applied 1 'GlobalNetworkPolicy' resource(s)\n" in out


def test_a_wrong_document_gives_exit_code_3_and_every_place(shell: Shell) -> None:
    path = shell.file(PAIR.replace("apiVersion", "piVersion", 1).replace("[6379]", "[20:210000]"))
    code, out, err = shell("apply", "-f", path)
    assert (code, out) == (3, "")
    assert f"{path}:1:1" in err
    assert "did you mean apiVersion?" in err
    assert f"{path}:15:" in err
    assert shell("get", "hep")[0] == 7  # nothing was stored, not even a datastore


def test_a_file_that_does_not_exist_is_a_usage_error(shell: Shell) -> None:
    code, _, err = shell("apply", "-f", str(shell.folder / "nope.yaml"))
    assert code == 2
    assert "No such file or directory" in err


def test_bytes_that_are_no_text_are_an_invalid_document(shell: Shell) -> None:
    path = shell.folder / "bad.yaml"
    path.write_bytes(b"kind: \xff\xfe\x00")
    assert shell("apply", "-f", str(path))[0] == 3


def test_a_folder_is_read_in_order_and_deeper_only_when_asked(shell: Shell) -> None:
    shell.file(network_set("a"), "1.yaml")
    shell.file(network_set("b"), "2.JSON")
    shell.file("not: a resource", "3.txt")
    (shell.folder / "deep").mkdir()
    shell.file(network_set("c"), "deep/4.yml")
    assert "a) created\nGlobalNetworkSet(b) created\nSuccessfully" in shell("apply", "-f", str(shell.folder))[1]
    assert "Successfully applied 3 " in shell("apply", "-R", "-f", str(shell.folder))[1]


def test_an_empty_file_is_refused(shell: Shell) -> None:
    code, _, err = shell("apply", "-f", shell.file(""))
    assert code == 3
    assert "no resources specified in file" in err


@pytest.mark.parametrize("command", [["apply"], ["delete"], ["validate"], ["diff"], ["get"]])
def test_a_file_without_a_name_is_not_this_folder(shell: Shell, command: list[str]) -> None:
    """`-f "$FILE"` with a variable that is not set."""
    code, _, err = shell(*command, "-f", "")
    assert code == 2
    assert "empty file name (a variable that is not set?)" in err


@pytest.mark.parametrize("option", ["--datastore", "--socket", "--node"])
@pytest.mark.parametrize("is_before", [True, False])
def test_a_target_without_a_name_is_not_the_default_one(
    capsys: pytest.CaptureFixture[str], option: str, is_before: bool
) -> None:
    assert run([option, "", "get", "hep"] if is_before else ["get", "hep", option, ""]) == 2
    assert f"{option} without a value" in capsys.readouterr().err


def test_what_is_no_file_in_a_folder_is_named_and_not_waited_for(shell: Shell) -> None:
    folder = shell.folder / "policies"
    folder.mkdir()
    os.mkfifo(folder / "pipe.yaml")
    code, _, err = shell("validate", "-f", str(folder))
    assert code == 2
    assert f"{folder}/pipe.yaml: is no regular file" in err
    (folder / "pipe.yaml").unlink()
    (folder / "gone.yaml").symlink_to("nowhere")
    assert f"{folder}/gone.yaml: No such file" in shell("validate", "-f", str(folder))[2]


def test_standard_input_is_read(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(network_set("a").encode())))
    assert shell("apply", "-f", "-")[0] == 0


@pytest.mark.parametrize(
    ("command", "text", "code"),
    [
        (["apply", "--dry-run"], PAIR, 0),
        (["apply", "--dry-run=client"], PAIR, 0),
        (["diff"], PAIR, 1),
        (["apply"], PAIR.replace("order:", "ordr:"), 3),
        (["create"], POLICY.replace("order: 9", "tier: none"), 3),
        (["replace"], PAIR, 5),
        (["apply", "--skip-empty"], "", 0),
        (["get", "--skip-empty"], "", 0),
        (["config", "explain"], PAIR, 0),
    ],
)
def test_what_stores_nothing_makes_no_datastore(shell: Shell, command: list[str], text: str, code: int) -> None:
    assert shell(*command, "-f", shell.file(text))[0] == code
    assert not shell.datastore.parent.exists()


def test_an_empty_file_becomes_a_datastore_by_the_first_write_and_not_before(shell: Shell) -> None:
    shell.datastore.parent.mkdir()
    shell.datastore.touch()
    assert shell("get", "hep")[0] == 7
    assert shell("diff", "-f", shell.file(PAIR))[0] == 1
    assert shell.datastore.stat().st_size == 0
    assert shell("apply", "-f", shell.file(PAIR))[0] == 0
    assert shell("get", "hep")[0] == 0


def test_apply_answers_in_json_when_asked(shell: Shell) -> None:
    code, out, _ = shell("apply", "-o", "json", "-f", shell.file(PAIR))
    assert code == 0
    assert [change["action"] for change in json.loads(out)["changes"]] == ["created", "created"]


def test_a_forgotten_return_rule_is_warned_of_on_stderr(shell: Shell) -> None:
    code, _, err = shell("apply", "-f", shell.file(POLICY[: POLICY.index("  egress:")]))
    assert code == 0
    assert "NO_RETURN_RULE" in err


def test_get_prints_tables_as_the_reference_says(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    assert shell("get", "hep")[1] == "NAME         NODE    \nnode2-eth0   node2   \n\n"
    wide = shell("get", "gnp", "redis", "-o", "wide")[1]
    assert wide.split("\n")[0].split() == ["NAME", "TIER", "ORDER", "SELECTOR", "HITS"]
    assert wide.split("\n")[1].split()[-1] == "-"
    assert shell("get", "HostEndpoints", "-o", "name")[1] == "hostendpoint/node2-eth0\n"


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_get_prints_can_be_applied_again(shell: Shell, form: str) -> None:
    shell("apply", "-f", shell.file(PAIR))
    shell(
        "apply",
        "-f",
        shell.file(PAIR.replace("{name: redis}", "{name: redis, annotations: {a: '\U0001f600 \u202e é'}}")),
    )
    for arguments in (("gnp",), ("gnp", "redis"), ("tier", "default", "kube-admin")):
        out = shell("get", *arguments, "-o", form)[1]
        code, again, err = shell("apply", "-f", shell.file(out, f"again.{form}"))
        assert (code, err) == (0, "")
        assert "unchanged" in again


def test_a_missing_resource_gives_exit_code_5_beside_those_found(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    code, out, err = shell("get", "gnp", "redis", "nope")
    assert code == 5
    assert "redis" in out
    assert err == "tortie: resource does not exist: GlobalNetworkPolicy(nope); see tortie get globalnetworkpolicy\n"
    assert shell("delete", "gnp", "nope")[0] == 5
    assert shell("delete", "-s", "gnp", "nope")[0] == 0


def test_a_conflict_gives_exit_code_6(shell: Shell) -> None:
    shell("apply", "-f", shell.file(ENDPOINT))
    stale = ENDPOINT.replace("{name:", '{resourceVersion: "99", name:')
    code, _, err = shell("apply", "-f", shell.file(stale))
    assert code == 6
    assert "is out of date (latest: 1)" in err


# Root may read everything, unless it has given that up.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * (os.geteuid() == 0)


@pytest.mark.parametrize(
    "command",
    ["get hep", "apply -f FILE", "diff -f FILE", "status", "counters", "config explain", "delete hep node2-eth0"],
)
def test_a_folder_that_others_own_is_told_and_the_way_in(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)
    (tmp_path / "doc.yaml").write_text(PAIR)
    words = command.replace("FILE", str(tmp_path / "doc.yaml")).split()
    done = subprocess.run(
        [*ORDINARY, TORTIE, "--datastore", folder / "state.db", *words], capture_output=True, text=True, check=False
    )
    folder.chmod(0o700)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.endswith(
        "closed/state.db: Permission denied: run as root, or name another file with --datastore\n"
    )


def test_a_folder_below_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    words = [*ORDINARY, TORTIE, "validate", "-R", "-f", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    (tmp_path / "closed").chmod(0o700)
    assert done.returncode == 2
    assert f"{tmp_path}/closed: Permission denied" in done.stderr


def test_an_agent_that_only_root_may_ask_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(wire, "_connect", refuse)
    assert run(["status"]) == 7
    assert "only root may speak to the agent: use sudo" in capsys.readouterr().err


def test_a_datastore_that_is_not_there_or_none_gives_exit_code_7(shell: Shell) -> None:
    assert shell("get", "hep")[0] == 7
    shell.datastore.parent.mkdir()
    shell.datastore.write_text("this is no database at all, just text that is long enough")
    code, _, err = shell("get", "hep")
    assert code == 7
    assert str(shell.datastore) in err


def test_a_socket_that_nobody_answers_gives_exit_code_7(shell: Shell) -> None:
    code, _, err = shell("--socket", str(shell.folder / "none.sock"), "get", "hep")
    assert code == 7
    assert "no agent answers" in err
    assert shell("--socket", "/" + "x" * 200, "get", "hep")[0] == 7


@pytest.mark.parametrize("choice", ["recheck", "kill"])
def test_a_file_that_no_agent_serves_knows_no_connections(shell: Shell, choice: str) -> None:
    path = shell.file(PAIR)
    code, out, err = shell("apply", "-f", path, f"--established={choice}")
    assert (code, out) == (7, "")
    assert "nothing was changed" in err
    assert not shell.datastore.exists()
    shell("apply", "-f", path, "--established=keep")
    assert shell("delete", "gnp", "redis", f"--established={choice}")[0] == 7
    assert shell("delete", "-f", path, f"--established={choice}")[0] == 7
    assert shell("get", "gnp", "redis")[0] == 0
    assert shell("apply", "--dry-run", "-f", path, f"--established={choice}")[0] == 0


def test_counters_without_an_agent_say_so(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    assert shell("counters")[0] == 7
    assert shell("counters", "-w")[0] == 7


def test_status_without_an_agent_says_so(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    code, _, err = shell("status")
    assert code == 7
    assert "(revision 1): nothing new is enforced" in err


def test_delete_by_file_removes_what_it_names(shell: Shell) -> None:
    path = shell.file(PAIR)
    shell("apply", "-f", path)
    code, out, _ = shell("delete", "-f", path)
    assert code == 0
    assert "Successfully deleted 2 resource(s)" in out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("aply",), "did you mean 'apply'?"),
        (("ipam", "show"), "no such command 'ipam'; addresses are not given out by tortie"),
        (("help", "aply"), "no such command 'aply'; see tortie help"),
        (("get", "hep", "--selectr", "a"), "no such option '--selectr'; did you mean --selector?"),
        (("get", "hep", "--sort-by=x"), "no such option '--sort-by'; use -o json with a program such as jq, or sort"),
        (("--allow-version-mismatch", "get", "hep"), "leave it out: versions are not compared; see tortie --help"),
        (("apply", "policy.yaml"), "documents are given with -f policy.yaml"),
        (("apply", "-f", "x", "--dry-run", "client"), "write --dry-run=client"),
        (("completion",), "Missing argument 'SHELL'. Choose from: bash, zsh, fish; see tortie completion --help"),
        (("get", "gnpp"), "did you mean gnp?"),
        (("get", "hep", "-o", "xml"), "'xml'"),
        (("get", "hep", ""), "may not be empty"),
        (("apply",), "give documents with -f"),
        (("delete", "gnp"), "at least one NAME"),
        (("delete", "gnp", "redis", "--no-wait", "--established=kill"), "leave out --no-wait"),
        (("apply", "-f", "x", "--no-wait", "--established=recheck"), "leave out --no-wait"),
        (("apply", "-f", "x", "--established=burn"), "'burn'"),
        (("counters", "-w", "--interval", "0"), "--interval"),
        (("validate",), "give documents with -f"),
        (("trace", "1.2.3.4", "1.2.3.5", "tcp/1", "--node", "node7"), "give --in IF, --out IF, or both"),
        (("trace", "1.2.3.4", "1.2.3.5", "tcp/1", "--established", "--relation", "new"), "the same thing twice"),
        (("trace", "1.2.3.4", "1.2.3.5", "tcp/1", "--revision", "1", "--at", "2026-01-01"), "the same thing twice"),
        (("trace", "1.2.3.4", "1.2.3.5", "tcp/1", "--at", "noon"), "is no time; write 2026-01-31T15:04:05Z"),
        (("selector", "test"), "which selector?"),
        (("selector", "test", "a ==", "--labels", "a=b"), "column"),
        (("selector", "test", "all()", "--labels", "ab"), "write key=value"),
        (("--nonsense",), "--nonsense"),
        (("agent", "run", "--dataplane", "ipfw"), "expected auto, ebpf, nftables or iptables"),
        (("agent", "run", "--config", "/nonexistent"), "no such file"),
    ],
)
def test_a_usage_error_gives_exit_code_2_and_a_hint(shell: Shell, arguments: tuple[str, ...], hint: str) -> None:
    shell("apply", "-f", shell.file(PAIR))
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert hint in err


def test_a_usage_error_does_not_repeat_a_whole_document(shell: Shell) -> None:
    for arguments in (("apply", "x" * 100_000), ("--" + "x" * 100_000,), ("apply", "--dry-run=" + "x" * 100_000)):
        code, _, err = shell(*arguments)
        assert code == 2
        assert len(err) < 600


def test_words_of_other_tools_are_none_of_ours() -> None:
    context = click.Context(cli)
    ours: set[str] = set()
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        ours.update(*(param.opts for param in command.params))
    assert not foreign.COMMANDS.keys() & COMMANDS.keys()
    assert foreign.OPTIONS.keys() & ours == {"--all", "--overwrite"}  # trace and label have them, others do not
    assert not any(text.endswith(".") for text in [*foreign.COMMANDS.values(), *foreign.OPTIONS.values()])


def test_help_shows_what_the_option_shows(shell: Shell) -> None:
    assert shell("help") == shell("--help")
    assert shell("help", "get") == shell("get", "--help")
    assert shell("help", "selector", "test") == shell("selector", "test", "--help")
    assert shell("help", "get", "gnp")[0] == 2


def test_the_version_is_an_option_too(shell: Shell) -> None:
    assert shell("--version") == (0, f"tortie {VERSION}\n", "")


def test_trace_works_from_a_file_alone(shell: Shell) -> None:
    arguments = ("--node", "node2", "trace", "1.2.3.4", "10.0.0.5", "tcp/6379", "--in", "eth0")
    code, out, _ = shell(*arguments, "-f", shell.file(PAIR), "-o", "json")
    answer = json.loads(out)
    assert code == 0
    assert tuple(answer[k] for k in ("verdict", "stage", "is_tracked", "agrees")) == ("allow", "untracked", False, None)
    assert answer["rule"]["policy"] == "GlobalNetworkPolicy(redis)"


def test_trace_works_from_the_datastore_with_documents_over_it(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    trace = ("trace", "10.0.0.5", "1.2.3.4", "tcp/9", "--sport", "6379", "--out", "eth0", "--node", "node2")
    assert "ALLOW  tier default, GlobalNetworkPolicy(redis), rule 0" in shell(*trace)[1]
    deny = shell.file(POLICY.replace("Allow", "Deny"), "deny.yaml")
    code, out, _ = shell(*trace, "-f", deny)
    assert code == 0
    assert "DENY" in out
    assert "dropped before connection tracking" in out


def test_trace_shows_failsafes_and_interfaces_without_endpoint(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    ssh = shell("trace", "1.2.3.4", "10.0.0.5", "tcp/22", "--in", "eth0", "--node", "node2")[1]
    assert "a failsafe port" in ssh
    other = shell("trace", "1.2.3.4", "10.0.0.5", "tcp/6379", "--in", "eth7", "--node", "node3")[1]
    assert "ALLOW  no host endpoint governs this interface" in other


def test_trace_knows_the_default_deny_and_connections(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    asked = ("trace", "1.2.3.4", "10.0.0.5", "tcp/80", "--in", "eth0", "--node", "node2")
    sentence = "DENY  no policy and no profile allows it: the default deny of HostEndpoint(node2-eth0)"
    assert sentence in shell(*asked)[1]
    assert "the reply to no known connection: a SYN-ACK without its SYN" in shell(*asked, "--flags", "SA")[1]
    assert "ALLOW  it belongs to a known connection" in shell(*asked, "--established")[1]
    assert shell(*asked, "--flags", "X")[0] == 2


def test_trace_explains_a_forgotten_return_rule(shell: Shell) -> None:
    one_way = POLICY[: POLICY.index("  egress:")]
    files = ("-f", shell.file(f"{ENDPOINT}---\n{one_way}"), "--node", "node2")
    reply = ("trace", "10.0.0.5", "1.2.3.4", "tcp/40000", "--sport", "6379", "--flags", "SA", "--out", "eth0", *files)
    code, out, _ = shell(*reply)
    assert code == 0
    request = "hint: the request was allowed untracked by GlobalNetworkPolicy(redis), rule 0, so nothing remembers it"
    assert f"{request}: add the mirrored rule (Allow, protocol TCP, source ports [6379]) to its egress" in out


def test_trace_without_anything_to_go_by_says_what_to_give(shell: Shell) -> None:
    code, _, err = shell("trace", "1.2.3.4", "10.0.0.5", "tcp/22", "--in", "eth0")
    assert code == 7
    assert "give -f FILE or --datastore PATH" in err


def test_normal_policy_is_stored_where_no_agent_could_refuse_it(shell: Shell) -> None:
    assert shell("apply", "-f", shell.file(NORMAL))[0] == 0


def test_every_command_explains_itself_with_two_examples(shell: Shell) -> None:
    for command in COMMANDS:
        code, out, _ = shell(command, "--help")
        assert code == 0
        assert (
            out.split("Examples:")[1].split("Options:")[0].count("  tortie ")
            + out.count("  nsenter")
            + out.count("  echo")
            == 2
        ), out


def test_output_obeys_no_control_characters_of_a_name(shell: Shell) -> None:
    code, _, err = shell("get", "\x1b[31mred")
    assert code == 2
    assert "\x1b" not in err


def test_a_given_socket_wins_over_a_given_datastore() -> None:
    chosen = target.choose(target.Choice(datastore="/x/state.db", socket="/x/s"))
    assert getattr(chosen, "path", None) == "/x/s"
    assert type(chosen).__name__ == "SocketTarget"


@pytest.mark.parametrize(("has_agent", "kind"), [(True, "SocketTarget"), (False, "FileTarget")])
def test_without_a_choice_the_default_agent_comes_before_the_default_file(
    monkeypatch: pytest.MonkeyPatch, has_agent: bool, kind: str
) -> None:
    monkeypatch.setattr(wire, "answers", lambda path: has_agent)
    assert kind == type(target.choose(target.Choice())).__name__
    assert type(target.choose(target.Choice(datastore="/x"))).__name__ == "FileTarget"


def test_environment_chooses_like_options(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("apply", "-f", shell.file(PAIR))
    monkeypatch.setenv("TORTIE_DATASTORE", str(shell.datastore))
    assert run(["get", "hep", "node2-eth0"]) == 0
    monkeypatch.setenv("TORTIE_SOCKET", "/nonexistent/s")
    assert run(["get", "hep"]) == 7


def run_process(shell: Shell, *arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, on the shell's datastore."""
    words = [str(TORTIE), "--datastore", str(shell.datastore), *arguments]
    return subprocess.run(
        words, stdout=subprocess.PIPE if stdout is None else stdout, stderr=subprocess.PIPE, text=True, check=False
    )


def test_a_process_prints_everything_and_exits_with_the_commands_code(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    done = run_process(shell, "get", "gnp", "redis", "nope", "-o", "name")
    assert (done.returncode, done.stdout) == (5, "globalnetworkpolicy/redis\n")
    assert "GlobalNetworkPolicy(nope)" in done.stderr


def test_output_that_cannot_be_written_is_a_failure_and_says_so(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run_process(shell, "get", "gnp", stdout=full)
    finally:
        os.close(full)
    assert (done.returncode, "No space left" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "told"),
    [
        (">&-", "explain-schema gnp", 1, b"tortie: standard output: Bad file descriptor"),
        (">/dev/full", "schema json", 1, b"tortie: standard output: No space left on device"),
        ("2>&-", "get nokind", 2, b""),
        ("2>/dev/full", "get nokind", 2, b""),
        ("<&-", "validate -f -", 2, b"tortie: stdin: Bad file descriptor"),
        ("<&- >&- 2>&-", "explain-schema gnp", 1, b""),
    ],
)
def test_a_closed_or_full_stream_is_told_where_somebody_listens(
    closed: str, arguments: str, code: int, told: bytes
) -> None:
    done = subprocess.run(["sh", "-c", f"{TORTIE} {arguments} {closed}"], capture_output=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr


def test_output_is_utf_8_whatever_the_locale_says(shell: Shell) -> None:
    shell("apply", "-f", shell.file(POLICY.replace("redis-host", "日本語")))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [TORTIE, "--datastore", shell.datastore, "get", "gnp", "-o", "wide"]
    done = subprocess.run(words, capture_output=True, check=True, env=environment)
    assert 'hep == "日本語"' in done.stdout.decode()


def test_columns_stand_below_each_other_whatever_their_characters_are(shell: Shell) -> None:
    texts = ["plain", "日本語", "e\u0301t\u00e9", "\x1b[31m", "two\nlines", "😀"]
    policies = [
        json.dumps(
            {
                "apiVersion": "projectcalico.org/v3",
                "kind": "GlobalNetworkPolicy",
                "metadata": {"name": f"p{number}"},
                "spec": {"selector": f"role == '{text}'"},
            },
            ensure_ascii=False,
        )
        for number, text in enumerate(texts)
    ]
    assert shell("apply", "-f", shell.file("\n---\n".join(policies)))[0] == 0
    _, out, _ = shell("get", "gnp", "-o", "custom-columns=SELECTOR,NAME")
    _, *rows, _ = out.removesuffix("\n").split("\n")
    taken = ["role == 'plain'", "role == '日本語'", "role == 'e\u0301t\u00e9'", r"role == '\x1b[31m'"]
    taken += [r"role == 'two\nlines'", "role == '😀'"]
    columns = [15, 16, 13, 18, 20, 12]
    assert [row[: len(text)] for row, text in zip(rows, taken, strict=True)] == taken
    blanks = [len(row[len(text) :]) - len(row[len(text) :].lstrip()) for row, text in zip(rows, taken, strict=True)]
    assert [column + blank for column, blank in zip(columns, blanks, strict=True)] == [23] * 6


def test_a_reader_that_goes_away_is_no_noise(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_process(shell, "get", "gnp", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
