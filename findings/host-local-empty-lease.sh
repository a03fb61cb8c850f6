#!/bin/bash
# What one would guess: the address that CNI's host-local plugin has given to a container is free again after DEL, which the
# specification requires to succeed for a partial attachment. Leases reach the disk before ADD returns.
#
# What host-local 1.1.1 of Debian 12 does:
# - ADD writes the lease and never calls fsync, so a power cut shortly after it may leave the file with its name and no content.
# - DEL searches the content for its container's ID. For an empty file it returns 0 and leaves the file. No later call of any
#   container frees the address, since ADD skips every address that has a file.
# - The content is the ID and the interface's name with CR LF between them and no end of line.
# A runtime has to look for empty lease files itself, or keep `dataDir` in memory.
#
# Needs: bash, apt-get with Debian 12's packages, strace, od. No root: host-local touches files only.
set -euo pipefail
version=1.1.1+ds1-3+b5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "containernetworking-plugins=$version" >/dev/null 2>&1
dpkg -x containernetworking-plugins_*.deb tree
echo "containernetworking-plugins $version"
plugin=$work/tree/usr/lib/cni/host-local
config='{"cniVersion":"1.0.0","name":"net","type":"bridge","ipam":{"type":"host-local","dataDir":"'$work'/leases",
  "ranges":[[{"subnet":"192.0.2.0/30"}]]}}'
call() {
  CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/proc/self/ns/net CNI_IFNAME=eth0 CNI_PATH=$work/tree/usr/lib/cni \
    strace -f -qq -e trace=fsync,fdatasync,syncfs,sync -o "$work/synced" "$plugin" <<<"$config"
}
call ADD first >answer
lease=leases/net/192.0.2.2
echo "content of the lease: $(od -An -c "$lease" | tr -s ' ')"
echo "calls that sync: $(grep -c sync "$work/synced" || true)"
[ "$(od -An -tx1 "$lease" | tr -d ' \n')" = 66697273740d0a65746830 ]
[ "$(grep -c sync "$work/synced" || true)" = 0 ]

: >"$lease" # what a power cut may leave
call DEL first
echo 'DEL of the container: status 0'
[ -e "$lease" ]
echo 'the lease is still there'
if call ADD second >answer; then echo 'another container got an address'; exit 1; fi
tr -d '\n' <answer; echo
grep -q 'no IP addresses available' answer
echo "as found: host-local $version"
