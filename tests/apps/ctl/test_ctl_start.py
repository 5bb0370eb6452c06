"""What a command loads and does before it works: counts, because times differ between machines."""

import subprocess
import sys

import pytest

from apps.documents import PAIR
from apps.shell import Shell

COLLECTIONS = "import gc, os; gc.callbacks.append(lambda phase, found: os.write(2, f'{phase} {found}'.encode()))"
MODULES = "import sys; from tortie.apps.ctl.main import run; assert run(sys.argv[1:]) == 0; print(*sys.modules)"


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """That program, as a process with these arguments."""
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)


def loaded(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it is done."""
    return set(run_python(MODULES, *arguments).stdout.split())


@pytest.fixture
def on_file(shell: Shell) -> tuple[str, str]:
    """The options that name a datastore file with the pair of documents."""
    shell("apply", "-f", shell.file(PAIR))
    return "--datastore", str(shell.datastore)


def test_get_from_a_file_loads_neither_the_model_nor_what_reads_text(on_file: tuple[str, str]) -> None:
    heavy = {"asyncio", "dataclasses", "pathlib", "msgspec", "yaml", "socket", "hashlib"}
    heavy |= {"tortie.model.selector", "tortie.model.policy"}
    assert heavy & loaded(*on_file, "get", "gnp") == set()


def test_who_writes_loads_no_converter_to_types_that_only_agents_need(shell: Shell, on_file: tuple[str, str]) -> None:
    assert {"msgspec", "pathlib", "asyncio", "socket"} & loaded(*on_file, "apply", "-f", shell.file(PAIR)) == set()


def test_get_from_a_file_compiles_no_form_of_a_value(on_file: tuple[str, str]) -> None:
    found = "[(name, form) for name in sys.modules if name.startswith('tortie') for form in vars(sys.modules[name])"
    found += ".values() if isinstance(form, re.Pattern)]"
    assert run_python(f"import re; {MODULES.replace('*sys.modules', found)}", *on_file, "get", "gns").stdout.endswith(
        "\n[]\n"
    )


@pytest.mark.parametrize("command", [("get", "gnp"), ("apply", "-f")])
def test_nothing_is_collected_while_a_command_loads(
    shell: Shell, on_file: tuple[str, str], command: tuple[str, ...]
) -> None:
    files = [shell.file(PAIR)] if command[0] == "apply" else []
    program = f"from tortie.apps.ctl.process import main; {COLLECTIONS}; main()"
    assert run_python(program, *on_file, *command, *files).stderr == ""


def test_what_stays_collects_as_usual() -> None:
    program = "import gc; usual = gc.get_threshold(); from tortie.apps.ctl import process; gc.set_threshold(1, 2, 3); "
    run_python(program + "process.collect_as_usual(); assert gc.get_threshold() == usual")


def test_an_interrupt_while_a_command_loads_is_no_noise() -> None:
    program = """
import sys
class Interrupted:
    def find_spec(self, name, *rest):
        if name == "tortie.apps.ctl.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from tortie.apps.ctl.process import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
