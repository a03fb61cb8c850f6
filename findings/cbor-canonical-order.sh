#!/bin/bash
# What one would guess: "canonical" CBOR is one form. A device that encodes a map again to check a signature or a digest gets the bytes
# that the operator's program signed, whatever the two are written in.
#
# What happens: there are two orders of the keys. RFC 7049 (3.9) put shorter keys first; RFC 8949 (4.2.1), its successor, compares the
# bytes. For the keys 256 and -1 (1901 00 and 20) they are opposite.
# - python3-cbor2 5.4.6 (Debian 12) with `canonical=True`: the old order, -1 first. Its documentation names no RFC for it.
# - cborg 6.1.5, cbor 10.0.12 with `encodeCanonical`, cbor2 2.3.0 (npm) with `cdeEncodeOptions`: the new one, 256 first.
# For maps whose keys are all texts, or all positive numbers, both orders are the same: the head of a shorter one has a smaller byte. So
# tests with JSON-like data pass. Maps of COSE have positive and negative keys, and other formats mix numbers and texts.
# cborg reads either order without a complaint.
#
# Needs: bash, npm, Node 20, python3 of Debian 12, apt-get with Debian 12's packages. No root.
set -euo pipefail
python=5.4.6-1+b1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" cborg@6.1.5 cbor@10.0.12 cbor2@2.3.0 >/dev/null
apt-get download -q "python3-cbor2=$python" >/dev/null 2>&1
dpkg -x python3-cbor2*.deb tree
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import cbor from 'cbor';
import * as cbor2 from 'cbor2';
import * as cborg from 'cborg';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const inPython = (map) => {
  const items = JSON.stringify([...map]);
  const script = `import cbor2, json; print(cbor2.dumps(dict(json.loads('${items}')), canonical=True).hex())`;
  return execFileSync('python3', ['-c', script], { encoding: 'utf8' }).trim();
};
const encoders = {
  'python3-cbor2 5.4.6, canonical=True': inPython,
  'cborg 6.1.5': (map) => hex(cborg.encode(map)),
  'cbor 10.0.12, encodeCanonical': (map) => hex(cbor.encodeCanonical(map)),
  'cbor2 2.3.0, cdeEncodeOptions': (map) => hex(cbor2.encode(map, cbor2.cdeEncodeOptions)),
};
const maps = {
  texts: new Map([['z', 1], ['pods', 2], ['aa', 3]]),
  'positive numbers': new Map([[1000, 1], [3, 2], [24, 3]]),
  '256 and -1': new Map([[256, 1], [-1, 2]]),
  'number and text': new Map([['a', 1], [100000, 2]]),
};
const forms = {};
for (const [what, map] of Object.entries(maps)) {
  console.log(`${what}:`);
  forms[what] = Object.entries(encoders).map(([name, encode]) => {
    const form = encode(map);
    console.log(`  ${form}  ${name}`);
    return form;
  });
}
const all = (form) => Array(4).fill(form);
const older = (old, recent) => [old, recent, recent, recent];
assert.deepEqual(forms, {
  texts: all('a3617a016261610364706f647302'),
  'positive numbers': all('a303021818031903e801'),
  '256 and -1': older('a2200219010001', 'a2190100012002'),
  'number and text': older('a26161011a000186a002', 'a21a000186a002616101'),
});
for (const form of Object.values(forms).flat()) cborg.decode(Buffer.from(form, 'hex'), { useMaps: true });
JS
PYTHONPATH=$(dirname "$(find "$work/tree" -type d -name cbor2)") node run.mjs
echo "as found: python3-cbor2 $python, cborg 6.1.5"
