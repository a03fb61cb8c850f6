#!/bin/bash
# What one would guess: a CBOR library writes the integer 1764389551000, a time in milliseconds, as a CBOR integer, and reads
# the CBOR integer of another library as the same value.
#
# What cbor-x 1.6.9 does (cborg 5.1.1 is the other library, it writes RFC 8949 deterministic encoding):
# - Every number from 2^32 on is written as a float of nine bytes (fb ...), though Number holds it exactly as an integer.
#   The type uint of CDDL (RFC 8610) does not match it.
# - An integer of another library that is larger than 2^32-1 is read as BigInt. So a time that cbor-x wrote itself is read as
#   a number, the same time from another writer as a BigInt, and adding 1 to it throws a TypeError.
# - An object has a head of three bytes (b9 0001), so a strict reader of deterministic CBOR refuses every object that cbor-x
#   wrote with its defaults. `variableMapSize: true` fixes this one.
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
const time = 1764389551000;
const show = (what, value) => console.log(`${what}: ${typeof value === 'bigint' ? `${value}n` : value}`);

show('cbor-x writes 2^32-1', hex(cborX.encode(2 ** 32 - 1)));
show('cbor-x writes 2^32  ', hex(cborX.encode(2 ** 32)));
show('cborg  writes 2^32  ', hex(cborg.encode(2 ** 32)));
assert.equal(hex(cborX.encode(2 ** 32 - 1)), '1affffffff');
assert.equal(hex(cborX.encode(2 ** 32)), 'fb41f0000000000000');
assert.equal(hex(cborg.encode(2 ** 32)), '1b0000000100000000');

const own = cborX.decode(cborX.encode(time));
const others = cborX.decode(cborg.encode(time));
show('cbor-x reads the time that it wrote itself', own);
show('cbor-x reads the time that cborg wrote    ', others);
assert.equal(own, time);
assert.equal(others, BigInt(time));

let refusal = 'none';
try {
  cborg.decode(cborX.encode({ a: 1 }), { strict: true });
} catch (error) {
  refusal = error.message;
}
show('cbor-x writes {a: 1}', hex(cborX.encode({ a: 1 })));
show('cborg, strict, says ', refusal);
assert.equal(hex(cborX.encode({ a: 1 })), 'b90001616101');
assert.match(refusal, /more bytes than necessary/);
const variable = new cborX.Encoder({ useRecords: false, variableMapSize: true });
assert.equal(hex(variable.encode({ a: 1 })), 'a1616101');
JS
node run.mjs
echo 'as found: cbor-x 1.6.9'
