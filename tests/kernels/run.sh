#!/usr/bin/env bash
# Loads the programs on Debian's 5.10 kernel, emulated: what the oldest supported verifier accepts. About a minute, and
# 100 MB of packages at the first time; `make test-kernels`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/kernels
mkdir -p "$work/lists/partial" "$work/guest/bin" "$work/guest/proc" "$work/guest/sys"
command -v qemu-system-x86_64 cpio >/dev/null || apt-get install -y -qq --no-install-recommends qemu-system-x86 cpio >/dev/null
test -x /bin/busybox || apt-get install -y -qq busybox-static >/dev/null

# the kernel package of the older Debian, from the mirror that this machine uses, by a package list of its own
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' | grep -v security | awk '$2 == "main" {print $1; exit}')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" > "$work/sources.list"
apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists")
if ! compgen -G "$work/linux-image-*.deb" >/dev/null; then
  apt-get "${apt[@]}" update -qq
  package=$(apt-cache "${apt[@]}" search '^linux-image-5.10.*-cloud-amd64$' | awk '{print $1}' | sort -V | tail -1)
  (cd "$work" && apt-get "${apt[@]}" download -qq "$package")
  dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
fi

PYTHONPATH=tests .venv/bin/python tests/kernels/cases.py "$work/guest/cases"
gcc -O1 -Wall -Wextra -Werror -static -o "$work/guest/loader" tests/kernels/loader.c -lbpf -lelf -lz 2>/dev/null
cp /bin/busybox "$work/guest/bin/"
cat > "$work/guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox uname -r
/loader /cases/list
/bin/busybox poweroff -f
INIT
chmod +x "$work/guest/init"
(cd "$work/guest" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$work/initrd.gz"
timeout 300 qemu-system-x86_64 -m 1024 -smp 1 -nographic -no-reboot -kernel "$work"/kernel/boot/vmlinuz-* \
  -initrd "$work/initrd.gz" -append "console=ttyS0 quiet panic=1 mitigations=off" </dev/null | tee "$work/log" | grep -aE "^(xdp|tc)_|programs,|5\.10"
grep -aq ", 0 refused" "$work/log"
