#!/bin/bash
# What one would guess: to replace a signing key, one signs with the old key and the new one for a while (`gpg -u OLD -u NEW -b`). A device
# that has only the old key finds its signature, ignores the other and accepts the document, as RFC 9580 (5.2.5) requires where
# the other is of an unknown kind.
#
# What happens with a verifier that has one of the two keys:
# - gpgv 2.2.40 (Debian 12) prints "Good signature" and returns 2, the status of a fatal error in its manual; rnp 0.16.3 prints "1 unknown
#   signature" and returns 1, as for a changed document. So the second signature locks out all old devices whose scripts look at
#   the status. gpgv 2.4.7, gpgv-sq and rnp 0.17.1 of Debian 13 do the same.
# - sq 0.27.0 and sqv 1.1.0 return 0.
# - OpenPGP.js 6.3.2 with `expectSigned: true` accepts it; a program that awaits `verified` of the first signature depends on the order.
# It is safe to give each device the signature of the key that it knows, in files of their own.
#
# Needs: bash, npm, Node 20, GnuPG, apt-get with Debian 12's packages. No root.
set -euo pipefail
gpgv=2.2.40-1.1+deb12u2 sq=0.27.0-2+b1 sqv=1.1.0-1+b5 rnp=0.16.3-1
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" openpgp@6.3.2 >/dev/null
apt-get download -q "gpgv=$gpgv" "sq=$sq" "sqv=$sqv" "rnp=$rnp" librnp0 libbotan-2-19 libtspi1 libjson-c5 nettle-bin libnettle8 libhogweed6 libgmp10 \
  libsqlite3-0 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
run() { LD_LIBRARY_PATH=$LD_LIBRARY_PATH "$work/tree/usr/bin/$1" "${@:2}"; }
quiet_gpg() { gpg --batch --quiet --passphrase '' "$@" 2>/dev/null; }
echo 'a document' >document
for key in old new; do
  quiet_gpg --quick-generate-key "$key <$key@example.org>" ed25519 sign
  quiet_gpg --export "$key@example.org" >$key.pgp
  mkdir -m 700 rnp-$key
  run rnpkeys --homedir rnp-$key --import $key.pgp >/dev/null 2>&1
done
quiet_gpg -u old@example.org --detach-sign --output one.sig document
quiet_gpg -u old@example.org -u new@example.org --detach-sign --output both.sig document
cat >verify.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createMessage, readKeys, readSignature, verify } from 'openpgp';
const verified = await verify({
  message: await createMessage({ binary: readFileSync('document') }),
  signature: await readSignature({ binarySignature: readFileSync('document.sig') }),
  verificationKeys: await readKeys({ binaryKeys: readFileSync(process.argv[2]) }),
  expectSigned: true,
}).catch(() => process.exit(1));
const results = await Promise.allSettled(verified.signatures.map((signature) => signature.verified));
console.log(results.map(({ status }) => (status === 'fulfilled' ? 'good' : 'unknown key')).join(', '));
JS
status() { # name, command
  local status=0
  "${@:2}" >"said.$1" 2>&1 || status=$?
  echo "$1 $status"
}
statuses() { # signature, key
  cp "$1" document.sig
  {
    status gpgv run gpgv --keyring "$work/$2.pgp" document.sig document
    status rnp run rnp --homedir "rnp-$2" --verify document.sig
    status sq run sq verify --signer-cert "$2.pgp" --detached document.sig document
    status sqv run sqv --keyring "$2.pgp" document.sig document
    status OpenPGP.js node verify.mjs "$2.pgp"
  } | paste -sd' '
}
expect() { # signature, key, statuses
  local seen
  seen=$(statuses "$1" "$2")
  echo "$1, the $2 key: $seen"
  [ "$seen" = "$3" ]
}
gpg --version | head -1
expect one.sig old 'gpgv 0 rnp 0 sq 0 sqv 0 OpenPGP.js 0'
expect one.sig new 'gpgv 2 rnp 1 sq 1 sqv 1 OpenPGP.js 1'
for key in old new; do
  expect both.sig $key 'gpgv 2 rnp 1 sq 0 sqv 0 OpenPGP.js 0'
  grep -h 'Good signature' said.gpgv
  grep -qx 'Signature verification failure: 1 unknown signature' said.rnp
  echo "OpenPGP.js in the order of the file: $(cat said.OpenPGP.js)"
done
echo "as found: gpgv $gpgv, rnp $rnp, sq $sq, sqv $sqv, openpgp 6.3.2"
