#!/bin/bash
# What one would guess: `sload.f2fs -P -f DIRECTORY IMAGE` fills an image with the whole tree, as `mke2fs -d` does, or fails: its manual
# page has "0 on success and -1 on failure" and no list of exceptions.
#
# What f2fs-tools 1.15.0 (Debian 12) does: FIFOs and device nodes are missing, and so are file capabilities and `user.*` attributes; the
# status is 0 and nothing is printed about them. A `/dev` with `console` and `null` is empty, an overlayfs directory has lost its whiteouts
# (character devices 0/0), so deleted files are back, and `ping` has lost its capability. Files, set-user-ID, owners, hard and symbolic
# links are kept, so the image starts. mke2fs 1.47.0 keeps all of it.
#
# Needs: bash, python3, e2fsprogs, apt-get with Debian 12's packages, mknod. Root, for the device nodes and capabilities.
set -euo pipefail
f2fs=1.15.0-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "f2fs-tools=$f2fs" e2fsprogs >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
mkdir -p source/dev
echo text >source/file
chown 1000:1000 source/file
chmod 4755 source/file
ln source/file source/hardlink
ln -s file source/symlink
mkfifo source/fifo
mknod source/dev/null c 1 3
mknod source/whiteout c 0 0
echo ping >source/ping
# cap_net_raw=ep, as `setcap` writes it
python3 -c "
import os
os.setxattr('source/ping', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))
os.setxattr('source/ping', 'user.note', b'text')"
truncate -s 64M f2fs ext4
tree/sbin/mkfs.f2fs -q f2fs >/dev/null
status=0
tree/sbin/sload.f2fs -P -f source f2fs >said || status=$?
echo "sload.f2fs: status $status, $(grep -cE 'fifo|null|whiteout|xattr|capab' said || true) lines about what is left out"
[ "$status" = 0 ]
! grep -qE 'fifo|null|whiteout|xattr|capab' said
# Inode numbers are given in order from 4 on; 3 is the root. A free number has no name.
field() { sed -n "s/^$1 .*: \(.*\)\]$/\1/p" inode | sed -n 1p; }
for inode in $(seq 4 20); do
  tree/sbin/dump.f2fs -d 1 -i "$inode" f2fs </dev/null >inode 2>&1 || true
  name=$(sed -n 's/^i_name .*\[\(.*\)\]$/\1/p' inode | sed -n 1p)
  if [ -n "$name" ]; then
    printf '%s mode %o owner %s links %s attributes %s\n' "$name" "$(field i_mode)" "$(field i_uid)" "$(field i_links)" "$(field i_xattr_nid)"
  fi
done | sort | tee inodes
cat >expected <<'END'
dev mode 40755 owner 0 links 2 attributes 0
file mode 104755 owner 1000 links 2 attributes 0
ping mode 100644 owner 0 links 1 attributes 0
symlink mode 120777 owner 0 links 1 attributes 0
END
cmp inodes expected
tree/sbin/fsck.f2fs f2fs >checked
grep 'Hard link checking' checked
tree/sbin/mke2fs -q -t ext4 -d source ext4
for what in 'stat /fifo' 'stat /dev/null' 'stat /whiteout'; do
  echo "mke2fs -d, $what: $(tree/sbin/debugfs -R "$what" ext4 2>/dev/null | grep -o 'Type: .*   Mode' | sed 's/ *Mode//')"
done | tee others
tree/sbin/debugfs -R 'ea_list /ping' ext4 2>/dev/null | grep -oE '^ *(security|user)[a-z.]*' | paste -sd' '
[ "$(grep -oE 'FIFO|character special' others | paste -sd,)" = 'FIFO,character special,character special' ]
echo "as found: f2fs-tools $f2fs"
