#!/usr/bin/env bash
# Loads the programs on Debian's older kernels, emulated: what the oldest supported verifier, and one in between, accept.
# About a minute, and 150 MB of packages at the first time; `make test-kernels`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/kernels
mkdir -p "$work/guest/bin" "$work/guest/proc" "$work/guest/sys"
command -v qemu-system-x86_64 cpio >/dev/null || apt-get install -y -qq --no-install-recommends qemu-system-x86 cpio >/dev/null
test -x /bin/busybox || apt-get install -y -qq busybox-static >/dev/null

PYTHONPATH=tests .venv/bin/python tests/kernels/cases.py "$work/guest/cases"
gcc -O1 -Wall -Wextra -Werror -static -o "$work/guest/loader" tests/kernels/loader.c -lbpf -lelf -lz
cp /bin/busybox "$work/guest/bin/"
cat > "$work/guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox echo
/bin/busybox uname -sr
/loader /cases/list
/bin/busybox poweroff -f
INIT
chmod +x "$work/guest/init"
(cd "$work/guest" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$work/initrd.gz"

# The kernel package of a Debian release, from the mirror that this machine uses, by a package list of its own.
fetch() {
  local release=$1 version=$2 folder=$work/$2 mirror package
  compgen -G "$folder/kernel/boot/vmlinuz-*" >/dev/null && return
  mkdir -p "$folder/lists/partial"
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' | grep -v security | awk '$2 == "main" {print $1; exit}')
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" > "$folder/sources.list"
  local apt=(-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists" -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update -qq
  package=$(apt-cache "${apt[@]}" search "^linux-image-$version.*-cloud-amd64\$" | awk '{print $1}' | sort -V | tail -1)
  (cd "$folder" && apt-get "${apt[@]}" download -qq "$package")
  dpkg-deb -x "$folder"/linux-image-*.deb "$folder/kernel"
}

for guest in "bullseye 5.10" "bookworm 6.1"; do
  read -r release version <<< "$guest"
  fetch "$release" "$version"
  timeout 300 qemu-system-x86_64 -m 1024 -smp 1 -nographic -no-reboot -kernel "$work/$version"/kernel/boot/vmlinuz-* \
    -initrd "$work/initrd.gz" -append "console=ttyS0 quiet panic=1 mitigations=off" </dev/null > "$work/$version/log"
  grep -aE "^(xdp|tc|egress)_|programs,|^Linux $version" "$work/$version/log"
  grep -aq ", 0 refused" "$work/$version/log"
done
