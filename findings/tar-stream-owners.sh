#!/bin/bash
# What one would guess: a tar library that copies entries from one archive to another (extract, then pack, as its README shows)
# keeps owners, or fails. tar-stream writes sizes over 8 GiB as GNU's base-256 numbers, so owners are expected to be written so.
#
# What tar-stream 3.2.2 does, with GNU tar 1.34 as the reader:
# - An owner above 2097151 (octal 7777777) becomes 262143 (octal 777777), without an error. Such owners are normal: containers
#   in user namespaces and systemd-nspawn -U have theirs near 500 million and above. All of them become one and the same user.
# - A file of mode 0 gets mode 0644, so everybody can read it.
# - A time after 2242 (octal 77777777777 seconds) loses its last digit, so the year 2300 is read as 2027.
#   A workaround is an owner or a time in `header.pax` ({uid: '…'}).
#
# Needs: bash, npm, Node 20, GNU tar. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" tar-stream@3.2.2 >/dev/null
tar --version | head -1
echo x >big; echo x >locked; echo x >late
tar --format=gnu --owner=:1879048192 --group=:1879048193 --mode=0600 --mtime=@1767225600 -cf in.tar big
tar --format=gnu --owner=:1000 --group=:1000 --mode=0 --mtime=@1767225600 -rf in.tar locked
tar --format=gnu --owner=:1000 --group=:1000 --mode=0600 --mtime=@10413792000 -rf in.tar late
cat >copy.mjs <<'JS'
import { createReadStream, createWriteStream } from 'node:fs';
import { extract, pack } from 'tar-stream';
const from = extract();
const to = pack();
from.on('entry', (header, body, next) => body.pipe(to.entry(header, next)));
from.on('finish', () => to.finalize());
createReadStream('in.tar').pipe(from);
to.pipe(createWriteStream('out.tar'));
JS
node copy.mjs
list() { TZ=UTC tar --numeric-owner -tvf "$1" | awk '{print $1, $2, $4, $6}'; }
echo 'before:'; list in.tar
echo 'after:'; list out.tar | tee after
[ "$(list in.tar | head -1)" = '-rw------- 1879048192/1879048193 2026-01-01 big' ]
grep -qx -e '-rw------- 262143/262143 2026-01-01 big' after
grep -qx -e '-rw-r--r-- 1000/1000 2026-01-01 locked' after
grep -qx -e '-rw------- 1000/1000 2027-10-18 late' after
echo 'as found: tar-stream 3.2.2'
