#!/bin/bash
# What one would guess: whether an image that was signed before the key was revoked is still accepted depends on the reason: not if the key
# was compromised, but if it was superseded (RFC 4880, 5.2.3.23). The programs agree, and a revocation without a reason is the mild one.
#
# What happens with a signature of 2023 and a revocation of 2024:
#   reason                   gpg, gpgv 2.2.40   sq 0.27, sqv 1.1, OpenPGP.js 6.3.2   rnp 0.16.3
#   0 none                   accept             refuse                               accept
#   1 superseded             accept             accept                               accept
#   2 compromised            accept             refuse                               refuse
#   3 no longer used         accept             accept                               accept
# gpg prints a warning, and both return 0: gpgv(1) says that it does not look at revocations. "No reason" is what gpg puts into the
# revocation certificate that it makes for each new key (`openpgp-revocs.d`). Whoever retires a key with it makes sq and OpenPGP.js
# refuse all that was ever signed, also on devices that read the same key file as gpgv does. `gpg --gen-revoke` asks for the reason;
# a key that only gets a successor takes "superseded" or "no longer used". Its menu has the numbers of 1 and 2 the other way round.
#
# Needs: bash, npm, Node 20, GnuPG, apt-get with Debian 12's packages. No root.
set -euo pipefail
gpgv=2.2.40-1.1+deb12u2 sq=0.27.0-2+b1 sqv=1.1.0-1+b5 rnp=0.16.3-1
export TZ=UTC
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" openpgp@6.3.2 >/dev/null
apt-get download -q "sq=$sq" "sqv=$sqv" "rnp=$rnp" "gpgv=$gpgv" librnp0 libbotan-2-19 libtspi1 libjson-c5 nettle-bin libnettle8 libhogweed6 libgmp10 \
  libsqlite3-0 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
libraries=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
run() { HOME=$work LD_LIBRARY_PATH=$libraries "$work/tree/usr/bin/$1" "${@:2}"; }
at() { # time, arguments of gpg
  gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' --faked-system-time "$1" "${@:2}" 2>/dev/null
}
cat >verify.mjs <<'JS'
import { readFileSync } from 'node:fs';
import * as openpgp from 'openpgp';
const verificationKeys = await openpgp.readKeys({ binaryKeys: readFileSync(process.argv[2]) });
const signature = await openpgp.readSignature({ binarySignature: readFileSync('document.sig') });
const message = await openpgp.createMessage({ binary: readFileSync('document') });
const { signatures } = await openpgp.verify({ message, signature, verificationKeys });
await signatures[0].verified.catch(() => process.exit(1));
JS
echo 'a document' >document
at 20220101T000000 --quick-generate-key 'harbour <harbour@example.org>' ed25519 sign 20y
at 20230101T000000 --detach-sign --output document.sig document
gpg --batch --export >key.pgp 2>/dev/null
# That file has a colon in front of the armor, so that nobody imports it by accident.
sed -i 's/^:---/---/' "$GNUPGHOME"/openpgp-revocs.d/*.rev
gpg --list-packets "$GNUPGHOME"/openpgp-revocs.d/*.rev 2>/dev/null >own
echo "gpg's own revocation certificate: $(grep -o 'revocation reason 0x0.' own)"
grep -q 'revocation reason 0x00' own
# GnuPG's menu has 1 and 2 the other way round.
revoke() { # reason
  local menu=(0 2 1 3)
  {
    printf 'y\n%s\n\ny\n' "${menu[$1]}" | gpg --no-tty --command-fd 0 --pinentry-mode loopback --passphrase '' \
      --faked-system-time 20240101T000000 --output "revocation$1" --gen-revoke harbour >/dev/null
    mkdir -m 700 "home$1"
    gpg --batch --homedir "home$1" --import key.pgp "revocation$1"
    gpg --batch --homedir "home$1" --export
  } 2>/dev/null >"key$1.pgp"
}
verdict() { if "$@" >/dev/null 2>&1; then echo accept; else echo refuse; fi; }
with_rnp() {
  rm -rf rnp
  mkdir rnp
  run rnpkeys --homedir rnp --import "$1" >/dev/null 2>&1
  run rnp --homedir rnp -v document.sig --source document
}
expect() { # reason, what gpg, gpgv, sq, sqv, OpenPGP.js and rnp do
  local key=key$1.pgp
  revoke "$1"
  gpg --list-packets "$key" 2>/dev/null >packets
  grep -q "revocation reason 0x0$1" packets
  local seen
  seen="gpg $(verdict gpg --batch --homedir "home$1" --verify document.sig document), gpgv $(verdict run gpgv --keyring "./$key" document.sig document)"
  seen+=", sq $(verdict run sq verify --signer-cert "$key" --detached document.sig document), sqv $(verdict run sqv --keyring "$key" document.sig document)"
  seen+=", OpenPGP.js $(verdict node verify.mjs "$key"), rnp $(verdict with_rnp "$key")"
  echo "reason $1: $seen"
  [ "$seen" = "$2" ]
}
expect 0 'gpg accept, gpgv accept, sq refuse, sqv refuse, OpenPGP.js refuse, rnp accept'
expect 1 'gpg accept, gpgv accept, sq accept, sqv accept, OpenPGP.js accept, rnp accept'
expect 2 'gpg accept, gpgv accept, sq refuse, sqv refuse, OpenPGP.js refuse, rnp refuse'
expect 3 'gpg accept, gpgv accept, sq accept, sqv accept, OpenPGP.js accept, rnp accept'
echo "as found: sq $sq, rnp $rnp, gpgv $gpgv"
