#!/usr/bin/env bash
# What one would guess: `fallocate` gives a disk image its blocks, so that a loop-mounted volume can never run out of them. mkfs.ext4
# then writes its tables into the file and leaves the allocation as it is. No option requests a discard.
#
# What mkfs.ext4 1.47.0 of Debian 12 does: it first "discards" the whole file, which for a file means punching a hole. Of 64 MiB
# that were allocated some 4 MiB are left, with status 0. The volume is sparse again:
# when the disk below it is full, the file system in it gets I/O errors where its users expect ENOSPC. `-E nodiscard` keeps the
# blocks. (Mounted for the first time, the kernel zeroes the inode tables in the background, by holes as well where the loop device
# passes that on; `-E lazy_itable_init=0` leaves it nothing to do. Not shown here: it needs root.)
#
# Needs: bash, apt-get with Debian 12's packages, fallocate, du, a file system with holes (ext4, XFS, btrfs, tmpfs, overlay of
# these). No root.
set -euo pipefail
version=1.47.0-2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q e2fsprogs libext2fs2 libss2 libcom-err2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
found=$(dpkg-deb -f e2fsprogs_*.deb Version)
echo "e2fsprogs $found"
case $found in "$version"*) ;; *) echo "expected $version" >&2; exit 1 ;; esac
LD_LIBRARY_PATH=$(dirname "$(find "$work/tree" -name 'libext2fs.so.2' | head -1)"):$(dirname "$(find "$work/tree" -name 'libss.so.2' | head -1)")
export LD_LIBRARY_PATH

# mkfs OPTION...: prints the KiB that a file of 64 MiB holds before and after.
mkfs() {
  rm -f image
  fallocate -l 64MiB image
  before=$(du -k image | cut -f1)
  "$work/tree/sbin/mkfs.ext4" -F -q "$@" image
  after=$(du -k image | cut -f1)
  echo "mkfs.ext4 $*: $before KiB allocated before, $after KiB after"
}
mkfs
[ "$before" -ge 65536 ] && [ "$after" -lt 8192 ]
mkfs -E nodiscard
[ "$before" -ge 65536 ] && [ "$after" -ge 65536 ]
