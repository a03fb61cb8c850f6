#!/bin/bash
# What one would guess: `mkfs.erofs --tar=f IMAGE ARCHIVE` gives directories and times as `tar -x` does. Directories that an archive
# only implies (it has etc/app/config, and no entry for etc or etc/app; `tar -cf a.tar etc/app/config` writes such archives) get
# 0777 without the umask, usually 0755. A time keeps its fraction.
#
# What erofs-utils 1.8.6 (Debian 13) does, with umask 022 and GNU tar 1.34 as the writer:
# - Implied directories get mode 0777, the root directory as well if the archive has none, and the time of the run, so the same
#   archive gives another image each time (unless `-T` is given).
# - A time of 1700000000.5, which GNU tar writes in the PAX format for half a second, becomes 1700000000.000000005: the digits
#   after the point are read as a number of nanoseconds. Only nine digits are read rightly.
#
# Needs: bash, apt-get, dpkg, Debian's archive keyring, GNU tar, amd64. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial tree
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' >sources.list
get() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
}
get update
for package in erofs-utils libc6 libuuid1 liblz4-1 liblzma5 libzstd1 zlib1g libselinux1 libpcre2-8-0 libxxhash0 libdeflate0; do
  get download "$package/trixie"
done
for package in *.deb; do dpkg -x "$package" tree; done
loader=$(find "$work/tree" -name ld-linux-x86-64.so.2 -print -quit)
libraries=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
erofs() { "$loader" --library-path "$libraries" "$work/tree/usr/bin/$1" "${@:2}"; }
erofs mkfs.erofs --version | head -1
tar --version | head -1
umask 022
mkdir -p etc/app
echo x >etc/app/config
touch -d '@1700000000.5' etc/app/config
tar --format=posix -cf archive.tar etc/app/config
tar -tvf archive.tar
erofs mkfs.erofs --quiet --tar=f image archive.tar >/dev/null 2>&1
for path in / /etc /etc/app; do
  access=$(erofs dump.erofs --path="$path" image | grep -o 'Access: [0-9]*')
  echo "$path: $access"
  [ "$access" = 'Access: 0777' ]
done
time=$(erofs dump.erofs --path=/etc/app/config image | grep '^Timestamp:')
echo "/etc/app/config: $time"
[[ $time == *.000000005 ]]
erofs mkfs.erofs --quiet --tar=f again archive.tar >/dev/null 2>&1
if cmp -s <(erofs dump.erofs --path=/etc image | grep ^Timestamp) <(erofs dump.erofs --path=/etc again | grep ^Timestamp); then exit 1; fi
echo 'as found: erofs-utils 1.8.6'
