#!/bin/bash
# What one would guess: `mkfs.erofs --tar=f IMAGE ARCHIVE` writes the files that `tar -x` would extract, or fails.
#
# What erofs-utils 1.8.6 (Debian 13) does with a sparse file, as `tar --sparse` writes it (GNU tar 1.34), with status 0 and without a
# message above the level of information:
# - GNU's format (type S, the default of GNU tar): the file is missing in the image.
# - PAX format 1.0 (`--format=posix`, and what bsdtar writes): the file has another name (GNUSparseFile.N/NAME), and its content is
#   the map of the data as text, followed by the data without the holes.
# - PAX formats 0.0 and 0.1: the data without the holes, 4097 bytes in place of 10485761.
# So an archive of disk images or databases becomes a file system that looks complete. Sparse entries have to be expanded before.
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
printf x >disk; truncate -s 10M disk; printf y >>disk
seen() { # tar's options
  rm -rf image out
  tar "$@" --sparse -cf archive.tar disk
  # Errors and warnings are logged at level 2.
  erofs mkfs.erofs -d2 --quiet --tar=f image archive.tar >log 2>&1
  erofs fsck.erofs --extract="$work/out" image >/dev/null 2>&1
  (cd out && find . -type f -printf '%f of %s bytes')
}
echo "disk of $(stat -c %s disk) bytes"
for options in --format=gnu '--format=posix --sparse-version=1.0' '--format=posix --sparse-version=0.1' '--format=posix --sparse-version=0.0'; do
  # shellcheck disable=SC2086 # several options
  files=$(seen $options)
  echo "tar $options: ${files:-no file}; $(wc -l <log) lines of errors and warnings"
  [ ! -s log ]
  case $options in
    *gnu) [ -z "$files" ] ;;
    *1.0) [ "$files" = 'disk of 4609 bytes' ] && [ "$(head -c 2 out/*/disk)" = 3 ] ;;
    *) [ "$files" = 'disk of 4097 bytes' ] ;;
  esac
done
echo 'as found: erofs-utils 1.8.6'
