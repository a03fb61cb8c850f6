#!/bin/bash
# What one would guess: pbzip2 writes what bzip2 does, only faster; its manual calls them "fully compatible with bzip2". A library
# that reads bzip2 reads them, or fails.
#
# What happens with a file of 3.4 MB that pbzip2 1.1.13 (Debian 12) has compressed: it writes a bzip2 stream of its own for each block of
# 900000 bytes. bzip2 reads them all. Five of six decoders of npm stop behind the first one, and return its 900000 bytes without an
# error: compressjs 1.0.3, bz2 1.0.1, bzip2 0.1.1, bzip2-wasm 1.0.1, and seek-bzip 2.0.0 unless its third argument is true.
# unbzip2-stream 1.4.3 reads the whole file. Tests with small files do not show it: there is one stream up to 900000 bytes. lbzip2
# 2.5 is parallel, too, and writes one stream, which all but bzip2 0.1.1 (an error) read.
#
# Needs: bash, npm, Node 20, bzip2, apt-get with Debian 12's packages. No root.
set -euo pipefail
pbzip2=1.1.13-1 lbzip2=2.5-2.3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" compressjs@1.0.3 bz2@1.0.1 bzip2@0.1.1 bzip2-wasm@1.0.1 \
  seek-bzip@2.0.0 unbzip2-stream@1.4.3 >/dev/null
apt-get download -q "pbzip2=$pbzip2" "lbzip2=$lbzip2" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
seq 500000 >numbers
bzip2 -c numbers >bzip2.bz2
tree/usr/bin/pbzip2 -p2 -c numbers >pbzip2.bz2
tree/usr/bin/lbzip2 -n2 -c numbers >lbzip2.bz2
cat >run.cjs <<'JS'
const assert = require('node:assert/strict');
const { createReadStream, readFileSync } = require('node:fs');
const { PassThrough } = require('node:stream');
const { buffer } = require('node:stream/consumers');

const decoders = {
  compressjs: (file) => require('compressjs').Bzip2.decompressFile(readFileSync(file)),
  bz2: (file) => require('bz2').decompress(readFileSync(file)),
  bzip2: (file) => require('bzip2').simple(require('bzip2').array(readFileSync(file))),
  'bzip2-wasm': async (file) => {
    const BZip2 = require('bzip2-wasm').default ?? require('bzip2-wasm');
    const decoder = new BZip2();
    await decoder.init();
    return decoder.decompress(readFileSync(file), 10_000_000);
  },
  'seek-bzip': (file) => require('seek-bzip').decode(readFileSync(file)),
  'seek-bzip, multistream': (file) => require('seek-bzip').decode(readFileSync(file), null, true),
  'unbzip2-stream': (file) => buffer(createReadStream(file).pipe(require('unbzip2-stream')()).pipe(new PassThrough())),
};
(async () => {
  const original = readFileSync('numbers');
  const seen = {};
  for (const compressor of ['bzip2', 'pbzip2', 'lbzip2'])
    for (const [name, decode] of Object.entries(decoders)) {
      const result = await (async () => decode(`${compressor}.bz2`))().catch(() => null);
      const length = result === null ? 'an error' : result.length;
      if (result) assert.ok(Buffer.from(result).equals(original.subarray(0, result.length)));
      console.log(`${compressor}, ${name}: ${length} of ${original.length} bytes`);
      (seen[compressor] ??= {})[name] = length;
    }
  const all = original.length;
  const expected = (values) => Object.fromEntries(Object.keys(decoders).map((name, n) => [name, values[n]]));
  const cut = 900_000;
  assert.deepEqual(seen.bzip2, expected([all, all, all, all, all, all, all]));
  assert.deepEqual(seen.pbzip2, expected([cut, cut, cut, cut, cut, all, all]));
  assert.deepEqual(seen.lbzip2, expected([all, all, 'an error', all, all, all, all]));
})();
JS
node run.cjs
cmp <(bzip2 -dc pbzip2.bz2) numbers
echo "as found: pbzip2 $pbzip2"
