"""Programs that work for us: their scripts, what they say, and an end of waiting for them."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from tortie.kernel import child
from tortie.kernel.child import Child
from tortie.kernel.errors import KernelError


def run(*words: str, script: str = "") -> child.Said:
    return Child("door", words, script, "package").finish()


def test_a_long_script_arrives_whole_and_in_its_own_letters() -> None:
    script = "".join(f"rule {number} für {chr(0xDC80)}\n" for number in range(100_000))
    said = run("sha256sum", script=script)
    assert said.output.split()[0] == hashlib.sha256(script.encode(errors="surrogateescape")).hexdigest()


def test_what_it_says_and_its_code_are_told() -> None:
    assert run("sh", "-c", "cat; echo out; echo err >&2; exit 3", script="in\n") == (3, "in\nout\n", "err\n")


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(child, "_TIMEOUT_S", 0.2)
    with pytest.raises(KernelError) as caught:
        run("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    assert caught.value.code == errno.ETIMEDOUT
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_cannot_be_started_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="install the package package") as caught:
        run(str(tmp_path / "missing"))
    assert caught.value.code == errno.ENOENT
    (tmp_path / "plain").write_text("")
    with pytest.raises(KernelError) as caught:
        run(str(tmp_path / "plain"))
    assert caught.value.code == errno.EACCES


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE])
def test_a_host_that_gives_no_file_in_memory_is_an_error(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(KernelError) as caught:
        run("true")
    assert caught.value.code == code


def test_kernels_that_know_no_seal_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.memfd_create

    def older(name: str, flags: int) -> int:
        if flags & ~os.MFD_CLOEXEC:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(name, flags)

    monkeypatch.setattr(os, "memfd_create", older)
    assert run("cat", script="in").output == "in"
