#!/bin/bash
# What one would guess: extended attributes in a tar survive a copy with tar-stream, because it passes the PAX records of an entry
# on (`header.pax`).
#
# What tar-stream 3.2.2 does, with GNU tar 1.34 as writer and reader: it decodes and encodes the values as UTF-8. A file capability
# is binary, so it depends on the numbers of the capabilities whether it survives. cap_net_raw (bit 13) does. cap_setuid (bit 7,
# what newuidmap of some distributions has) contains the byte 80, becomes EF BF BD, and the kernel refuses the attribute. GNU tar
# then prints a warning, extracts the file without the capability and exits with status 0. A test with cap_net_raw does not notice.
#
# Needs: bash, npm, Node 20, GNU tar, setcap and getcap (libcap2-bin). Root: setcap needs it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" tar-stream@3.2.2 >/dev/null
tar --version | head -1
echo x >raw; echo x >setuid
setcap cap_net_raw=ep raw
setcap cap_setuid=ep setuid
tar --xattrs --xattrs-include='*' -cf in.tar raw setuid
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
mkdir before after
tar --xattrs --xattrs-include='*' -xf in.tar -C before
tar --xattrs --xattrs-include='*' -xf out.tar -C after 2>said && status=0 || status=$?
echo 'before:'; (cd before && getcap raw setuid | tee ../before.txt)
echo "after (tar: status $status, $(sed 's/^.*tar: //' said)):"; (cd after && getcap raw setuid | tee ../after.txt)
[ "$(cat before.txt)" = $'raw cap_net_raw=ep\nsetuid cap_setuid=ep' ]
[ "$(cat after.txt)" = 'raw cap_net_raw=ep' ]
[ "$status" = 0 ]
grep -q 'Cannot set' said
echo 'as found: tar-stream 3.2.2'
