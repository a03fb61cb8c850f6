#!/bin/bash
# What one would guess: a strong ETag changes with every byte of a file (RFC 9110, 8.8.1), so a download that is resumed with
# `Range` and `If-Range: ETAG` either continues the same file or starts again (status 200).
#
# What nginx 1.22.1 and Caddy 2.6.2 (both Debian 12) do: their strong ETag is the time in whole seconds and the size. Two builds
# of an image of a fixed size (ext4, a partition, an archive that is padded) have the same size, and a reproducible build gives
# them the same time: SOURCE_DATE_EPOCH, `rsync --times` and `tar -x` keep it. The servers then answer 206 with the rest of the
# new file, and the client joins halves of two images, without any error. A proxy gets 304 for the old image. lighttpd 1.4.69 has
# the inode in its ETag and answers 200. Name files by their digest, or verify a digest of the whole; nothing in HTTP shows it.
#
# Needs: bash, Node 20, apt-get with Debian 12's packages (libcrypt1, libpcre2-8-0, libssl3, zlib1g installed). No root.
set -euo pipefail
nginx=1.22.1-9+deb12u11 lighttpd=1.4.69-1 caddy=2.6.2-5
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "nginx=$nginx" "lighttpd=$lighttpd" "caddy=$caddy" libxxhash0 libnettle8 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
mkdir root temporary
chmod 755 "$work"
printf 'daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log %s/nginx.log;\nevents {}\nhttp {\naccess_log off;\n' "$work" "$work" >nginx.conf
for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $work/temporary/$kind;"; done >>nginx.conf
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';

const size = 1048576;
const sourceDateEpoch = 1700000000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Replaces the file as a deployment does, by a rename. */
function publish(letter) {
  writeFileSync('root/new', letter.repeat(size));
  utimesSync('root/new', sourceDateEpoch, sourceDateEpoch);
  renameSync('root/new', 'root/image');
}

async function ask(name, port, command, args) {
  publish('A');
  const server = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}/image`;
  try {
    let first;
    for (let attempt = 0; first === undefined; attempt++) {
      try {
        first = await fetch(url, { headers: { range: `bytes=0-${size / 2 - 1}` } });
      } catch (error) {
        if (attempt === 100) throw error; // it starts
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    const etag = first.headers.get('etag');
    const half = await first.text();
    assert.equal(first.status, 206);
    assert.match(etag, /^"/);
    publish('B');
    await new Promise((resolve) => setTimeout(resolve, 3000)); // lighttpd keeps what it knows of a file for a second or two
    const rest = await fetch(url, { headers: { range: `bytes=${half.length}-`, 'if-range': etag } });
    const text = await rest.text();
    const conditional = await fetch(url, { headers: { 'if-none-match': etag } });
    const answer = { resumed: rest.status, revalidated: conditional.status };
    await conditional.text();
    console.log(`${name}: ETag ${etag} of the old file; resumed: ${rest.status} with ${text.length} bytes, all "${[...new Set(text)].join('')}", after a half of "A"; If-None-Match: ${conditional.status}`);
    return answer;
  } finally {
    server.kill('SIGTERM');
    await once(server, 'exit');
  }
}

const ports = [await freePort(), await freePort(), await freePort()];
appendFileSync('nginx.conf', `server { listen 127.0.0.1:${ports[0]}; root ${process.cwd()}/root; }\n}\n`);
writeFileSync('lighttpd.conf', `server.document-root = "${process.cwd()}/root"\nserver.bind = "127.0.0.1"\nserver.port = ${ports[1]}
server.modules = ()\nserver.errorlog = "${process.cwd()}/lighttpd.log"\nmimetype.assign = ("" => "application/octet-stream")\n`);
const { NGINX: nginx } = process.env;
const seen = [
  await ask('nginx', ports[0], nginx, ['-c', `${process.cwd()}/nginx.conf`, '-p', process.cwd(), '-e', `${process.cwd()}/nginx.log`]),
  await ask('Caddy', ports[2], 'tree/usr/bin/caddy', ['file-server', '--listen', `127.0.0.1:${ports[2]}`, '--root', 'root']),
  await ask('lighttpd', ports[1], 'tree/usr/sbin/lighttpd', ['-D', '-f', 'lighttpd.conf', '-m', 'tree/usr/lib/lighttpd']),
];
assert.deepEqual(seen, [
  { resumed: 206, revalidated: 304 },
  { resumed: 206, revalidated: 304 },
  { resumed: 200, revalidated: 200 },
]);
JS
NGINX=$work/tree/usr/sbin/nginx HOME=$work LD_LIBRARY_PATH=$LD_LIBRARY_PATH timeout 120 node run.mjs 2>errors || { cat errors; exit 1; }
echo "as found: nginx $nginx, Caddy $caddy"
