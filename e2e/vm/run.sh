#!/bin/bash
# Runs guest.sh in a virtual machine with control groups of version 2 and systemd, for machines that have version 1, and judges by what it
# says: a line "ok NAME", "FAIL NAME: why" or "skip NAME: why" for each check, and "done" at the end.
#
#   run.sh BIN-DIR [CHECK…]   the programs that `make build` and `make e2e` leave in BIN-DIR; checks or parts of them by name ("systemd");
#                             without names every check
#
# It takes root, qemu-system-x86, mmdebstrap, e2fsprogs and busybox-static of Debian, and a mirror of Debian once: the root file system is
# kept in $SAMPAN_VM (default /var/tmp/sampan-vm) and never written to. The machine has no network but its own. The processor is emulated in
# software unless SAMPAN_VM_ACCEL=kvm says otherwise: a /dev/kvm that opens may still run nothing, as in most nested machines.
set -euo pipefail
bin=$(realpath "${1:?folder of the programs}"); shift
here=$(dirname "$(realpath "$0")") top=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
keep=${SAMPAN_VM:-/var/tmp/sampan-vm} suite=${SAMPAN_VM_SUITE:-trixie} mirror=${SAMPAN_VM_MIRROR:-http://deb.debian.org/debian}
for tool in qemu-system-x86_64 mmdebstrap mke2fs busybox; do
  command -v $tool >/dev/null || { echo "e2e/vm: $tool is not here: apt-get install qemu-system-x86 mmdebstrap e2fsprogs busybox-static"; exit 1; }
done
mkdir -p "$keep"
run=$(mktemp -d "$keep/run.XXXXXX")
trap 'rm -rf "$run"' EXIT

if [ ! -e "$keep/$suite.ext4" ]; then
  echo "e2e/vm: making the root file system of Debian $suite"
  packages=systemd,systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,kmod,iproute2,procps,ca-certificates
  mmdebstrap --quiet --variant=minbase --include=$packages "$suite" "$run/root.tar" "$mirror"
  mkdir "$run/root" && tar -C "$run/root" -xpf "$run/root.tar"
  install -D -m 644 "$here/guest.service" "$run/root/etc/systemd/system/guest.service"
  ln -s /dev/null "$run/root/etc/systemd/system/systemd-firstboot.service"
  cp "$run"/root/boot/vmlinuz-* "$keep/$suite.kernel"
  cp "$run"/root/boot/initrd.img-* "$keep/$suite.initrd"
  mke2fs -q -t ext4 -L root -d "$run/root" "$run/root.ext4" 5G
  rm -rf "$run/root" "$run/root.tar"
  mv "$run/root.ext4" "$keep/$suite.ext4"
fi

# The programs, the checks and an image with a shell are on a disk of their own, made for each run.
mkdir -p "$run/opt/bin" "$run/image/bin" "$run/image/tmp"
cp "$bin"/{sampan,sampan-cni,sampan-monitor,sampan-shim,containerd,containerd-shim-runc-v2,runc,kubectl,pause,pause.tar,demo.tar} "$run/opt/bin/"
cp "$here"/guest.sh "$here"/*.yaml "$run/opt/"
echo "$*" >"$run/opt/checks"
cp "$(command -v busybox)" "$run/image/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$run/image/bin/$applet"; done
go -C "$top" run ./tools/mkimage -o "$run/opt/busybox.tar" -tag sampan.dev/busybox:1 -cmd sh -dir "$run/image"
mke2fs -q -t ext4 -L opt -d "$run/opt" "$run/opt.ext4" 600M

TMPDIR=$run timeout "${SAMPAN_VM_TIMEOUT:-1800}" qemu-system-x86_64 -accel "${SAMPAN_VM_ACCEL:-tcg,thread=multi}" -cpu "${SAMPAN_VM_CPU:-Nehalem}" -m 3072 -smp 2 -nographic -no-reboot -snapshot \
  -kernel "$keep/$suite.kernel" -initrd "$keep/$suite.initrd" \
  -append "root=/dev/vda rw console=ttyS0 ${SAMPAN_VM_BOOT-quiet} no_timer_check psi=1 hugepagesz=2M hugepages=16 systemd.unified_cgroup_hierarchy=1 systemd.unit=guest.service systemd.show_status=0" \
  -drive file="$keep/$suite.ext4",if=virtio,format=raw -drive file="$run/opt.ext4",if=virtio,format=raw \
  -nic user,model=virtio-net-pci,restrict=on </dev/null 2>&1 | sed -u "s|\r||g" | tee "$keep/log"

grep -q '^done$' "$keep/log" || { echo "e2e/vm: the machine did not come to the end ($keep/log)"; exit 1; }
! grep -q '^FAIL ' "$keep/log" || { echo "e2e/vm: $(grep -c '^FAIL ' "$keep/log") of $(grep -cE '^(ok|FAIL) ' "$keep/log") failed"; exit 1; }
echo "e2e/vm: $(grep -c '^ok ' "$keep/log") passed, $(grep -c '^skip ' "$keep/log") skipped"
