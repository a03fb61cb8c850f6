#!/bin/bash
# What one would guess: a CBOR library writes every Uint8Array as a byte string (a Buffer is one), and reads every byte string of
# RFC 8949.
#
# What cbor-x 1.6.9 does (cborg 5.1.1 is the other library):
# - A Buffer is a byte string (42 0102). A Uint8Array, as WebCrypto and OpenPGP.js return them, has tag 64 in front of it (d840 42
#   0102, RFC 8746). It is the same for cbor-x, which removes the tag, so no round trip shows it. The type bstr of CDDL does not
#   match it, and cborg refuses it. `tagUint8Array: false` writes both alike.
# - A byte string or a text in chunks (RFC 8949, 3.2.3), which programs write that do not know the length before, is refused with
#   "Indefinite length not supported". Arrays and maps of indefinite length are read.
#
# Needs: bash, npm, Node 20. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" cbor-x@1.6.9 cborg@5.1.1 >/dev/null
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import * as cborX from 'cbor-x';
import * as cborg from 'cborg';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const answer = (read) => {
  try {
    return JSON.stringify(read());
  } catch (error) {
    return error.message;
  }
};
const seen = {};
const show = (what, value) => console.log(`${what}: ${(seen[what] = value)}`);

const bytes = [1, 2];
show('cbor-x writes a Buffer    ', hex(cborX.encode(Buffer.from(bytes))));
show('cbor-x writes a Uint8Array', hex(cborX.encode(new Uint8Array(bytes))));
show('cborg  writes a Uint8Array', hex(cborg.encode(new Uint8Array(bytes))));
show('cborg reads what cbor-x wrote', answer(() => cborg.decode(cborX.encode(new Uint8Array(bytes)))));
show('cbor-x with tagUint8Array: false', hex(new cborX.Encoder({ tagUint8Array: false }).encode(new Uint8Array(bytes))));
assert.deepEqual(Object.values(seen).slice(0, 3), ['420102', 'd840420102', '420102']);
assert.match(seen['cborg reads what cbor-x wrote'], /tag/i);
assert.equal(seen['cbor-x with tagUint8Array: false'], '420102');

const chunked = { 'a byte string': '5f41014102ff', 'a text': '7f61616162ff', 'an array': '9f0102ff', 'a map': 'bf616101ff' };
for (const [what, text] of Object.entries(chunked))
  show(`cbor-x reads ${what} of indefinite length`, answer(() => cborX.decode(Buffer.from(text, 'hex'))));
assert.match(seen['cbor-x reads a byte string of indefinite length'], /not supported/);
assert.match(seen['cbor-x reads a text of indefinite length'], /not supported/);
assert.equal(seen['cbor-x reads an array of indefinite length'], '[1,2]');
assert.equal(seen['cbor-x reads a map of indefinite length'], '{"a":1}');
JS
node run.mjs
echo 'as found: cbor-x 1.6.9'
