#!/bin/bash
# What one would guess: `fsck.erofs --extract=DIR --xattrs --preserve IMAGE` writes each file as it is in the image, with all
# attributes, as a copy from the mounted image (`cp -a`) does. Status 0 means that nothing is missing.
#
# What erofs-utils 1.8.6 (Debian 13) does as root: `user.*` attributes are restored, file capabilities (`security.capability`) are
# not. There is no warning and the status is 0. It writes the attributes first and changes the owner afterwards, and the kernel
# removes capabilities when the owner is set, even to the same one. With `--no-preserve-owner` they stay. A `ping` from such a
# copy fails for users. Without `--xattrs`, which is not the default, all attributes are missing.
#
# Needs: bash, apt-get, dpkg, Debian's archive keyring, python3, unshare, amd64, Linux 6.6 (user attributes on tmpfs). No root
# where user namespaces are allowed.
set -euo pipefail
self=$(realpath "$0")
if [ "${1-}" != inside ]; then
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
  unshare --user --map-root-user --mount "$self" inside "$work"
  exit
fi
cd "$2"
loader=$(find tree -name ld-linux-x86-64.so.2 -print -quit)
libraries=$(find tree -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
erofs() { "$loader" --library-path "$libraries" "tree/usr/bin/$1" "${@:2}"; }
erofs mkfs.erofs --version | head -1
mkdir files
mount -t tmpfs none files
mkdir files/source
cp /bin/true files/source/ping
attributes() { # program of Python, file
  python3 -c "import os, struct, sys; file = sys.argv[1]; $1" "$2"
}
# cap_net_raw=ep
attributes "os.setxattr(file, 'security.capability', struct.pack('<5I', 0x02000001, 1 << 13, 0, 0, 0)); os.setxattr(file, 'user.origin', b'harbour')" files/source/ping
names() { attributes "print(' '.join(sorted(name for name in os.listxattr(file) if name.startswith(('user.', 'security.capability')))) or 'none')" "$1"; }
echo "in the source: $(names files/source/ping)"
erofs mkfs.erofs --quiet files/image files/source >/dev/null
extract() { # name, options
  erofs fsck.erofs -d3 --extract="files/$1" "${@:2}" files/image >"said-$1" 2>&1
  echo "fsck.erofs --extract ${*:2}: status $?, $(grep -c -i -e capab -e xattr -e '<W>' "said-$1" || true) warnings, attributes: $(names "files/$1/ping")" | tee "found-$1"
}
extract all --xattrs --preserve
extract owner --xattrs --no-preserve-owner
extract default
cp -a files/source files/copy
echo "cp -a: $(names files/copy/ping)" | tee found-cp
grep -q 'status 0, 0 warnings, attributes: user.origin$' found-all
grep -q 'attributes: security.capability user.origin$' found-owner
grep -q 'attributes: none$' found-default
grep -qx 'cp -a: security.capability user.origin' found-cp
echo 'as found: erofs-utils 1.8.6'
