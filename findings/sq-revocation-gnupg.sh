#!/bin/bash
# What one would guess: GnuPG imports the revocation certificate that `sq key generate --rev-cert` writes beside a new key. It is the
# file that people keep for the day on which the key is stolen.
#
# What sq 0.27.0 of Sequoia and GnuPG 2.2.40 (both Debian 12) do: sq writes the certificate as a block PGP SIGNATURE, which it is as a
# packet. `gpg --import` reports "no valid OpenPGP data found", and the key stays valid. With the label that GnuPG gives its own
# certificates, PGP PUBLIC KEY BLOCK, the same bytes revoke the key. A program that looks for revocations among blocks of
# public keys only does not see those of sq.
#
# Needs: bash, apt-get with Debian 12's packages, GnuPG. No root.
set -euo pipefail
sq=0.27.0-2+b1
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
apt-get download -q "sq=$sq" nettle-bin libnettle8 libhogweed6 libgmp10 libsqlite3-0 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
run_sq() { LD_LIBRARY_PATH=$LD_LIBRARY_PATH "$work/tree/usr/bin/sq" "$@"; }
run_sq --version | head -1
gpg --version | head -1
run_sq key generate --userid 'alice <alice@example.org>' --export key.pgp --rev-cert revocation.pgp 2>/dev/null
run_sq key extract-cert key.pgp >public.pgp
head -1 revocation.pgp
validity() { gpg --with-colons --list-keys 2>/dev/null | grep -m1 ^pub | cut -d: -f2; }
gpg --quiet --import public.pgp
if gpg --import revocation.pgp 2>said; then exit 1; fi
echo "imported as it is: $(head -1 said); validity $(validity)"
grep -q 'no valid OpenPGP data found' said
[ "$(validity)" = - ]
sed 's/PGP SIGNATURE/PGP PUBLIC KEY BLOCK/' revocation.pgp | gpg --quiet --import
echo "imported with the other label: validity $(validity) (r is revoked)"
[ "$(validity)" = r ]
echo "as found: sq $sq"
