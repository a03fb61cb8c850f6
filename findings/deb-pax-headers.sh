#!/bin/bash
# What one would guess: a package that `dpkg-deb --info`, `--contents` and `--extract` read, and whose files they extract rightly, can be
# installed.
#
# What dpkg 1.21.23 (Debian 12) does with a package whose data.tar is in the POSIX format (pax): `dpkg-deb` reads it with status 0, since
# tar does the work. `dpkg --install` reads the archive itself and refuses it with "unsupported PAX tar header type 'x'". So a build that
# looks into its package with dpkg-deb passes, and the device refuses it. Two programs that write such archives: Python's tarfile, whose
# default is pax, writes a pax header for each file that `add()` puts in, for the fraction of a second in its time. tar-stream 3.2.2 of
# npm does it for a link target of more than 100 bytes. Debian's tar does not without `--format`. deb(5) lists the formats (v7, ustar and
# some of GNU's) and has "Unrecognized tar typeflags are considered an error".
#
# Needs: bash, npm, Node 20, python3, tar, apt-get with Debian 12's packages. No root: dpkg has a root directory of its own.
set -euo pipefail
dpkg=1.21.23
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" tar-stream@3.2.2 >/dev/null
apt-get download -q "dpkg=$dpkg" >/dev/null 2>&1
dpkg -x dpkg_*.deb tree
export LC_ALL=C PATH=$work/tree/usr/bin:$work/tree/sbin:$PATH:/usr/sbin:/sbin
hash -r
dpkg --version | sed -n 1p
mkdir -p data/opt/gate
echo text >data/opt/gate/file
touch -d '2023-11-14 22:13:20.5 UTC' data/opt/gate/file
tar --owner=0 --group=0 -C data -cf tar.tar .
python3 - <<'PY'
import tarfile
def owner(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = 'root'
    return entry
for name, form in (('python', tarfile.DEFAULT_FORMAT), ('python-gnu', tarfile.GNU_FORMAT)):
    with tarfile.open(f'{name}.tar', 'w', format=form) as archive:
        archive.add('data', '.', filter=owner)
PY
cat >pack.mjs <<'JS'
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
for (const [name, length] of [['short', 90], ['long', 110]]) {
  const pack = tar.pack();
  const mtime = new Date(1700000000000);
  for (const directory of ['./', './opt/', './opt/gate/']) pack.entry({ name: directory, type: 'directory', mode: 0o755, mtime });
  pack.entry({ name: './opt/gate/file', mode: 0o644, mtime }, 'text\n');
  pack.entry({ name: './opt/gate/link', type: 'symlink', linkname: '/'.padEnd(length, 'x'), mtime });
  pack.finalize();
  await pipeline(pack, createWriteStream(`tar-stream-${name}.tar`));
}
JS
node pack.mjs
mkdir control
printf 'Package: gate\nVersion: 1\nArchitecture: all\nMaintainer: harbour <harbour@example.org>\nDescription: test\n' >control/control
tar --owner=0 --group=0 -C control -cf control.tar .
expect() { # name of the archive, what dpkg --install does
  mkdir -p "$1"/{var/lib/dpkg/{info,updates},files}
  touch "$1/var/lib/dpkg/status"
  python3 - "$1" <<'PY'
import sys
name = sys.argv[1]
with open(f'{name}.deb', 'wb') as package:
    package.write(b'!<arch>\n')
    for member, data in (('debian-binary', b'2.0\n'), ('control.tar', open('control.tar', 'rb').read()), ('data.tar', open(f'{name}.tar', 'rb').read())):
        package.write(f'{member:16}{0:<12}{0:<6}{0:<6}{"100644":8}{len(data):<10}`\n'.encode() + data + b'\n' * (len(data) % 2))
PY
  dpkg-deb --info "$1.deb" >/dev/null
  dpkg-deb --contents "$1.deb" >contents
  grep -q ' ./opt/gate/file$' contents
  dpkg-deb --extract "$1.deb" "$1/files"
  grep -qx text "$1/files/opt/gate/file"
  local seen=installed
  if ! dpkg --root="$work/$1" --force-not-root --force-script-chrootless --log=/dev/null --install "$1.deb" >said 2>&1; then
    seen=$(grep -o 'unsupported.*' said)
  fi
  echo "$1: dpkg-deb extracts it; dpkg --install: $seen"
  [ "$seen" = "$2" ]
}
refused="unsupported PAX tar header type 'x'"
expect tar installed
expect python "$refused"
expect python-gnu installed
expect tar-stream-short installed
expect tar-stream-long "$refused"
echo "as found: dpkg $dpkg, tar-stream 3.2.2"
