#!/bin/bash
# What one would guess: `readKeys({ armoredKeys })` of OpenPGP.js reads every key of a file, as its plural says and as
# `gpg --import` does. A file of several keys is usually made with `cat alice.asc bob.asc >keys.asc`.
#
# What OpenPGP.js 6.3.2 does: it reads the first armored block and ignores the rest, without an error or a warning. The same two
# keys in one block, as one `gpg --export` writes them, are both read. With a key ring that was concatenated, only the signatures
# of the first signer can be verified. The text has to be split at the lines that begin a block.
#
# Needs: bash, npm, Node 20, GnuPG. No root.
set -euo pipefail
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" openpgp@6.3.2 >/dev/null
gpg --version | head -1
for name in alice bob; do
  gpg --batch --quiet --passphrase '' --quick-generate-key "$name <$name@example.org>" ed25519 sign never 2>/dev/null
  gpg --armor --export "$name" >"$name.asc"
done
gpg --armor --export >one-block.asc
cat alice.asc bob.asc >two-blocks.asc
cat >read.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { readKeys } from 'openpgp';
const keys = await readKeys({ armoredKeys: readFileSync(process.argv[2], 'utf8') });
console.log(keys.flatMap((key) => key.getUserIDs()).join(', '));
JS
both='alice <alice@example.org>, bob <bob@example.org>'
for file in one-block two-blocks; do
  node read.mjs "$file.asc" >"$file.txt"
  echo "$file.asc: GnuPG shows $(gpg --show-keys "$file.asc" | grep -c ^pub) keys, OpenPGP.js reads $(cat "$file.txt")"
done
[ "$(gpg --show-keys two-blocks.asc | grep -c ^pub)" = 2 ]
[ "$(cat one-block.txt)" = "$both" ]
[ "$(cat two-blocks.txt)" = 'alice <alice@example.org>' ]
echo 'as found: openpgp 6.3.2'
