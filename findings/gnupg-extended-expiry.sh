#!/bin/bash
# What one would guess: extending the expiry of a key (`gpg --quick-set-expire`) before it expires changes nothing for the
# signatures that it has made. The documents need not be signed again; the verifiers need the new copy of the key.
#
# What happens: GnuPG 2.2.40 does not add a self-signature with the new expiry, it replaces the old one. So the exported key
# proves nothing about the time before the extension. gpgv accepts the old signature, because it takes the newest self-signature
# for all times. OpenPGP.js 6.3.2 and sq 0.27.0 judge the key at the time of the signature and refuse everything that was signed
# before the extension, OpenPGP.js with "Signature creation time is in the future". `date: null` of `verify` does not help. A
# verifier that keeps the old copy of the key and joins both (here by sq) accepts it again. A device that is installed later has
# only the new copy.
#
# Needs: bash, npm, Node 20, GnuPG, apt-get with Debian 12's packages. No root.
set -euo pipefail
sq=0.27.0-2+b1
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" openpgp@6.3.2 >/dev/null
apt-get download -q "sq=$sq" nettle-bin libnettle8 libhogweed6 libgmp10 libsqlite3-0 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
run_sq() { LD_LIBRARY_PATH=$LD_LIBRARY_PATH "$work/tree/usr/bin/sq" "$@"; }
gpg --version | head -1
run_sq --version | head -1
at() { # year, arguments of gpg
  gpg --batch --quiet --passphrase '' --faked-system-time "$1"0101T000000 "${@:2}" 2>/dev/null
}
at 2022 --quick-generate-key 'harbour <harbour@example.org>' ed25519 sign 20y
key=$(gpg --with-colons --list-keys 2>/dev/null | grep -m1 ^fpr | cut -d: -f10)
echo 'a document' >document
at 2023 --detach-sign --output signature document
gpg --export "$key" >before.pgp
at 2024 --quick-set-expire "$key" 30y
gpg --export "$key" >after.pgp
run_sq keyring merge before.pgp after.pgp >both.pgp
cat >verify.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createMessage, readKeys, readSignature, verify } from 'openpgp';
const { signatures } = await verify({
  message: await createMessage({ binary: readFileSync('document') }),
  signature: await readSignature({ binarySignature: readFileSync('signature') }),
  verificationKeys: await readKeys(
    process.argv[2].startsWith('both') ? { armoredKeys: readFileSync(process.argv[2], 'utf8') } : { binaryKeys: readFileSync(process.argv[2]) },
  ),
  date: process.argv[3] === 'null' ? null : new Date(),
});
console.log(await signatures[0].verified.then(() => 'good', (error) => error.message.replace(/ [0-9a-f]{16}/, '')));
JS
answers() { # file of the key: self-signatures, then what each program does
  local gpgv=good sq=good
  gpg --dearmor <"$1" >ring.pgp 2>/dev/null || cp "$1" ring.pgp
  gpgv --quiet --keyring "$work/ring.pgp" signature document 2>/dev/null || gpgv=bad
  run_sq verify --signer-cert "$1" --detached signature document >/dev/null 2>&1 || sq=bad
  echo "self-signatures: $(gpg --list-packets "$1" 2>/dev/null | grep -c ^:signature), gpgv: $gpgv, sq: $sq, OpenPGP.js: $(node verify.mjs "$1")"
}
for copy in before after both; do echo "$copy: $(answers "$copy.pgp")" | tee "$copy.txt"; done
old=$(node verify.mjs after.pgp null)
echo "after, with date null: OpenPGP.js: $old"
grep -qx 'before: self-signatures: 1, gpgv: good, sq: good, OpenPGP.js: good' before.txt
grep -q '^after: self-signatures: 1, gpgv: good, sq: bad, OpenPGP.js: .*Signature creation time is in the future$' after.txt
grep -qx 'both: self-signatures: 2, gpgv: good, sq: good, OpenPGP.js: good' both.txt
[[ $old == *'Signature creation time is in the future' ]]
echo "as found: openpgp 6.3.2, sq $sq"
