"""Emulated guests: this machine's files under another kernel, one of Debian's, without KVM and without an image.

    kernel and modules (apt) ─▶ initramfs (busybox, a few modules) ─▶ virtiofs of / ─▶ overlay ─▶ chroot, a command

The guest sees the host's files read-only under an overlay in its own memory: host's Python, this checkout, other
kernel. What it says goes to the serial console, the last line is its exit code. Nothing here knows what runs in it.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = CHECKOUT / "build" / "kernels"
VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
MODULES = ("virtio_pci", "virtiofs", "overlay")
"""What a guest needs before it sees the host's modules; some kernels have them built in."""
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FETCH_S, _BOOT_MB = 300, 1_536
_EXIT = re.compile(r"^guest-exit (\d+)\s*$", re.M)


class NoGuest(Exception):
    """This machine cannot have the guest, for this reason: a tool or the kernel package is not to be had."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Debian release and the Linux version it has."""

    debian: str
    version: str

    @property
    def folder(self) -> Path:
        """Where its package is unpacked."""
        return WORK / self.version

    @property
    def image(self) -> Path:
        """What QEMU boots."""
        return next((self.folder / "kernel" / "boot").glob("vmlinuz-*"))

    @property
    def modules(self) -> Path:
        """The folder of its modules, named as the kernel calls itself."""
        return next(path.parent for path in (self.folder / "kernel").glob("**/lib/modules/*/modules.builtin"))


KERNELS = (Kernel("bullseye", "5.10"), Kernel("bookworm", "6.1"), Kernel("trixie", "6.12"))


def require_tools() -> None:
    """Raises: NoGuest, with the packages that are missing."""
    needed = {
        "qemu-system-x86": shutil.which("qemu-system-x86_64"),
        "qemu-system-common": VIRTIOFSD.exists(),
        "busybox-static": Path("/bin/busybox").exists(),
        "ipvsadm": shutil.which("ipvsadm"),
        "kmod": shutil.which("depmod"),
        "cpio": shutil.which("cpio"),
    }
    if missing := [package for package, found in needed.items() if not found]:
        raise NoGuest(f"not installed: {', '.join(missing)} (requirements/debian-kernels.txt)")


def fetch(kernel: Kernel) -> None:
    """Have the kernel's package unpacked, from the mirror that this machine uses and a package list of its own.

    Raises: NoGuest, where the mirror does not give it.
    """
    done = kernel.folder / "fetched"
    if done.exists():
        return
    shutil.rmtree(kernel.folder, ignore_errors=True)
    (kernel.folder / "lists" / "partial").mkdir(parents=True)
    targets = _told("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)").splitlines()
    mirrors = [line.split()[0] for line in targets if line.endswith(" main") and "security" not in line]
    if not mirrors:
        raise NoGuest("apt knows no mirror: add one to its sources")
    sources = kernel.folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {mirrors[0]} {kernel.debian} main\n")
    options = [
        f"-oDir::Etc::sourcelist={sources}",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={kernel.folder / 'lists'}",
        "-oAPT::Sandbox::User=root",
        "-oAcquire::Retries=2",
        "-oAcquire::http::Timeout=20",
    ]
    _told("apt-get", *options, "update", "-qq", "--error-on=any")
    found = _told("apt-cache", *options, "search", f"^linux-image-{kernel.version}.*-cloud-amd64$")
    names = sorted((line.split()[0] for line in found.splitlines()), key=_numbers)
    if not names:
        raise NoGuest(f"{mirrors[0]} {kernel.debian} has no cloud kernel {kernel.version}")
    _told("apt-get", *options, "download", "-qq", names[-1], folder=kernel.folder)
    (package,) = kernel.folder.glob("linux-image-*.deb")
    _told("dpkg-deb", "-x", str(package), str(kernel.folder / "kernel"))
    package.unlink()
    shutil.rmtree(kernel.folder / "lists")
    # depmod wants lib/modules below its base, which Debian 13 has in usr
    _told("depmod", "-b", str(kernel.modules.parents[2]), kernel.modules.name)
    done.touch()


def _numbers(name: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", name)]


def _told(*words: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_FETCH_S, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        raise NoGuest(f"{words[0]} took more than {_FETCH_S} s") from None
    if done.returncode:
        raise NoGuest(f"{shlex.join(words)}: {done.stderr.strip() or f'exit {done.returncode}'}")
    return done.stdout


# ---- what boots

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
mkdir /host /memory
mount -t virtiofs -o ro host /host && mount -t tmpfs -o size=75% memory /memory && mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || poweroff -f
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mkdir -p /root/dev/pts /root/dev/shm; mount -t devpts pts /root/dev/pts; mount -t tmpfs shm /root/dev/shm
mount -t tmpfs run /root/run
mkdir -p /root/usr/lib/modules; ln -sfn MODULES /root/usr/lib/modules/$(uname -r)
ip link set lo up
echo "guest: Linux $(uname -r), user space after $(cut -d' ' -f1 /root/proc/uptime) s"
exec chroot /root /bin/bash -c COMMAND
"""
# The chroot is PID 1's own: the kernel's threads share its root, and it is they who start modprobe.
_WHOLE = """( {command} ); echo "guest-exit $?"; exec /bin/busybox poweroff -f"""


def _needed(modules: Path, names: Iterable[str]) -> list[Path]:
    """The files of these modules and of what they depend on, in the order in which they load."""
    lines = (line.split(":") for line in (modules / "modules.dep").read_text().splitlines())
    depends = {path: others.split() for path, others in lines}
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in depends}
    wanted: dict[str, None] = {}
    for name in names:
        if (path := by_name.get(name)) is not None:  # else it is built in, or insmod's absence will be heard of
            wanted |= dict.fromkeys([*reversed(depends[path]), path])
    return [modules / path for path in wanted]


def _initramfs(kernel: Kernel, folder: Path, command: str) -> Path:
    """A compressed archive of busybox, modules and /init, in that folder."""
    root = folder / "initramfs"
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for number, path in enumerate(_needed(kernel.modules, MODULES)):
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        (root / "modules" / f"{number:02}-{path.name.removesuffix('.xz')}").write_bytes(raw)
    init = root / "init"
    init.write_text(_INIT.replace("MODULES", shlex.quote(str(kernel.modules))).replace("COMMAND", shlex.quote(command)))
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), capture_output=True, check=True, cwd=root
    )
    archive = folder / "initrd.gz"
    archive.write_bytes(gzip.compress(packed.stdout, 1))
    return archive


@dataclass(frozen=True, slots=True)
class Said:
    """What a guest said on its console, and the exit code of its command; None where it never came so far."""

    text: str
    code: int | None
    took_s: float


class Guest:
    """A guest that runs a command. Close it."""

    def __init__(self, kernel: Kernel, command: str, environment: Mapping[str, str] | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"tortie-guest-{kernel.version}-"))
        self._started: list[subprocess.Popen[bytes]] = []
        self._begun = time.monotonic()
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            **(environment or {}),
        }
        exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        socket, self._console = self._folder / "fs", self._folder / "console"
        try:
            whole = _WHOLE.format(command=f"cd {shlex.quote(str(CHECKOUT))} && export {exported} && {command}")
            archive = _initramfs(kernel, self._folder, whole)
            self._run(
                [
                    str(VIRTIOFSD),
                    f"--socket-path={socket}",
                    "-o",
                    "source=/,sandbox=chroot,cache=always,no_posix_lock,xattr",
                ],
                "virtiofsd",
            )
            self._wait_for(socket)
            self._qemu = self._run(_qemu(kernel, archive, socket, self._console), "qemu")
        except BaseException:
            self.close()
            raise

    def _run(self, words: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self._folder / name).open("wb") as log:
            started = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self._started.append(started)
        return started

    def _wait_for(self, socket: Path) -> None:
        deadline = time.monotonic() + 10
        while not socket.exists():
            if time.monotonic() > deadline or self._started[-1].poll() is not None:
                raise NoGuest(f"virtiofsd does not start: {(self._folder / 'virtiofsd').read_text().strip()}")
            time.sleep(0.02)

    def wait(self, timeout_s: float) -> Said:
        """What it said, when it is off; one that takes longer is turned off."""
        try:
            self._qemu.wait(max(0.0, self._begun + timeout_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._qemu.kill()
            self._qemu.wait()
        took = time.monotonic() - self._begun
        text = self._console.read_text(errors="replace").replace("\r\n", "\n") if self._console.exists() else ""
        found = _EXIT.search(text)
        return Said(text + (self._folder / "qemu").read_text(), int(found[1]) if found else None, took)

    def close(self) -> None:
        """Turn it off and forget it."""
        for process in reversed(self._started):
            process.kill()
            process.wait()
        self._started.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _qemu(kernel: Kernel, archive: Path, socket: Path, console: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        # Emulated wherever it runs, so that results are those of CI; `max` has what the host's Python was built for.
        # One CPU: two take more than twice as long, and 6.1 waits for RCU with one, too.
        *("-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(_BOOT_MB)),
        *("-object", f"memory-backend-memfd,id=memory,size={_BOOT_MB}M,share=on", "-numa", "node,memdev=memory"),
        *("-chardev", f"socket,id=fs,path={socket}", "-device", "vhost-user-fs-pci,chardev=fs,tag=host"),
        *("-device", "virtio-rng-pci", "-serial", f"file:{console}"),
        *("-kernel", str(kernel.image), "-initrd", str(archive)),
        *("-append", "console=ttyS0 quiet panic=1 mitigations=off random.trust_cpu=on"),
    ]
