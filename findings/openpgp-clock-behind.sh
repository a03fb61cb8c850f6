#!/bin/bash
# What one would guess: a device whose clock is behind (no battery, no time server yet) accepts or refuses a signature of today alike with
# each OpenPGP program, and gpgv-sq of Debian 13, which takes the place of gpgv, as gpgv does. RFC 9580 has no rule for it.
#
# What happens with a valid signature and a key that is older than both clocks:
# - gpgv 2.2.40 (Debian 12; 2.4.7 of Debian 13 as well) accepts it however far the clock is behind, with status 0.
# - gpgv-sq 0.13 (Debian 13) calls it a "BAD signature" (status 1), the words for a document that was changed, from one second on.
# - sq 0.27.0 accepts it up to 30 minutes before ("Not live until"), sqv 1.1.0 of the same library not by a second: "created after the
#   --not-after date", although nobody has set one.
# - rnp 0.16.3 and OpenPGP.js 6.3.2 refuse it from one second on.
# If the key is younger than the clock, too, gpgv refuses it, since "Bad public key".
#
# Needs: bash, npm, Node 20, GnuPG, apt-get with Debian 12's packages, dpkg, Debian's archive keyring, amd64. No root.
set -euo pipefail
gpgv=2.2.40-1.1+deb12u2 sq=0.27.0-2+b1 sqv=1.1.0-1+b5 rnp=0.16.3-1
export TZ=UTC
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" openpgp@6.3.2 >/dev/null
mkdir 12 13
(cd 12 && apt-get download -q "sq=$sq" "sqv=$sqv" "rnp=$rnp" "gpgv=$gpgv" librnp0 libbotan-2-19 libtspi1 libjson-c5 nettle-bin libnettle8 libhogweed6 libgmp10 \
  libsqlite3-0 libfaketime >/dev/null 2>&1)
mkdir -p lists/partial cache/archives/partial
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' >sources.list
get() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
}
get update
packages=(gpgv-sq libc6 libgcc-s1 libsqlite3-0 libnettle8t64 libhogweed6t64 libgmp10 libbz2-1.0)
(cd 13 && get download "${packages[@]/%//trixie}")
for package in 1?/*.deb; do dpkg -x "$package" "$(dirname "$package")/tree"; done
libraries() { find "$work/$1/tree" -name '*.so.*' -not -path '*faketime*' -printf '%h\n' | sort -u | paste -sd:; }
libraries12=$(libraries 12) libraries13=$(libraries 13)
loader=$(find "$work/13/tree" -name ld-linux-x86-64.so.2 -print -quit)
faketime=$(find "$work/12/tree" -name libfaketime.so.1)
run12() { LD_LIBRARY_PATH=$libraries12 "$work/12/tree/usr/bin/$1" "${@:2}"; }
run13() { "$loader" --library-path "$libraries13" "$work/13/tree/usr/bin/$1" "${@:2}"; }
at() { # time, arguments of gpg
  gpg --batch --quiet --passphrase '' --faked-system-time "$1" "${@:2}" 2>/dev/null
}
at 20220101T000000 --quick-generate-key 'harbour <harbour@example.org>' ed25519 sign 20y
gpg --export >key.pgp 2>/dev/null
echo 'a document' >document
at 20230101T000000 --detach-sign --output document.sig document
mkdir -m 700 rnp
run12 rnpkeys --homedir rnp --import key.pgp >/dev/null 2>&1
cat >verify.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createMessage, readKeys, readSignature, verify } from 'openpgp';
const { signatures } = await verify({
  message: await createMessage({ binary: readFileSync('document') }),
  signature: await readSignature({ binarySignature: readFileSync('document.sig') }),
  verificationKeys: await readKeys({ binaryKeys: readFileSync('key.pgp') }),
  date: new Date(process.argv[2]),
});
console.log(await signatures[0].verified.then(() => 'good', (error) => error.message));
JS
answer() { # name, command: good, or its status
  local status=0
  LD_PRELOAD=$faketime FAKETIME=$clock "${@:2}" >"said.$1" 2>&1 || status=$?
  if [ $status = 0 ]; then echo "$1: good"; else echo "$1: $status"; fi
}
answers() { # time of the device
  clock=$1
  {
    answer gpgv run12 gpgv --keyring "$work/key.pgp" document.sig document
    answer gpgv-sq run13 gpgv-sq --keyring "$work/key.pgp" document.sig document
    answer sq run12 sq verify --signer-cert key.pgp --detached document.sig document
    answer sqv run12 sqv --keyring key.pgp document.sig document
    answer rnp run12 rnp --homedir rnp --verify document.sig
    echo "OpenPGP.js: $(node verify.mjs "${1/ /T}Z")"
  } | paste -sd, | sed 's/,/, /g'
}
expect() { # time of the device, its distance, answers
  local seen
  seen=$(answers "$1")
  echo "$2: $seen"
  [ "$seen" = "$3" ]
}
future='Signature creation time is in the future'
run12 gpgv --version | head -1
run13 gpgv-sq --version | head -1
expect '2023-01-01 00:00:01' 'one second after the signature' 'gpgv: good, gpgv-sq: good, sq: good, sqv: good, rnp: good, OpenPGP.js: good'
expect '2022-12-31 23:59:59' 'one second before it' "gpgv: good, gpgv-sq: 1, sq: good, sqv: 1, rnp: 1, OpenPGP.js: $future"
grep -h BAD said.gpgv-sq
grep -h 'not-after' said.sqv
expect '2022-12-31 23:30:00' '30 minutes before it' "gpgv: good, gpgv-sq: 1, sq: good, sqv: 1, rnp: 1, OpenPGP.js: $future"
expect '2022-12-31 23:29:59' '30 minutes and a second before it' "gpgv: good, gpgv-sq: 1, sq: 1, sqv: 1, rnp: 1, OpenPGP.js: $future"
expect '2022-01-01 12:00:00' 'a year before it' "gpgv: good, gpgv-sq: 1, sq: 1, sqv: 1, rnp: 1, OpenPGP.js: $future"
expect '1970-01-01 12:00:00' 'before the key' "gpgv: 2, gpgv-sq: 1, sq: 1, sqv: 1, rnp: 1, OpenPGP.js: $future"
grep -h 'Bad public key' said.gpgv
echo "as found: gpgv $gpgv, sq $sq, sqv $sqv, rnp $rnp, openpgp 6.3.2"
