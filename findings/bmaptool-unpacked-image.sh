#!/bin/bash
# What one would guess: `bmaptool create` lists the blocks of an image that are needed, `bmaptool copy` writes and verifies them, and the
# card then has the image. Whether the image was ever compressed makes no difference.
#
# What happens with bmap-tools 3.6 (Debian 12): the map lists what is no hole of the file. zstd 1.5.4 and xz 5.4.1 make holes of zeros when
# they unpack into a file (`--no-sparse` turns it off; gzip does not do it), so the map of such a file leaves out zeros that are
# content. On a card that was in use, the former data stay in their place: a file of zeros in an EROFS image reads as the old bytes, and
# the partition differs from the image, as dm-verity or a digest of it would show. bmaptool verifies only what it copies and returns 0. On
# a card that is all zeros nothing is wrong. Create the map where the image is made, before it is compressed.
#
# Needs: bash, python3, gzip, losetup, apt-get with Debian 12's packages. Root, for the loop device.
set -euo pipefail
bmap=3.6-2
work=$(mktemp -d) card=''
trap 'losetup --detach "$card" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "bmap-tools=$bmap" python3-six python3-gpg zstd xz-utils liblzma5 erofs-utils=1.5-1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH PYTHONPATH=$work/tree/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1
bmaptool() { python3 tree/usr/bin/bmaptool --quiet "$@"; }
python3 tree/usr/bin/bmaptool --version
mkdir source
head -c 300000 /dev/urandom >source/a
head -c 1048576 /dev/zero >source/counters
head -c 300000 /dev/urandom >source/z
tree/usr/bin/mkfs.erofs --quiet built.img source >/dev/null
for program in gzip zstd xz; do
  case $program in
  gzip) gzip -c built.img >packed.gz && gzip -dc packed.gz >gzip.img ;;
  zstd) tree/usr/bin/zstd -q built.img -o packed.zst && tree/usr/bin/zstd -q -d packed.zst -o zstd.img ;;
  xz) tree/usr/bin/xz -c built.img >xz.img.xz && tree/usr/bin/xz -d xz.img.xz ;;
  esac
  cmp built.img $program.img # the same bytes
done
expect() { # name of the image, what is on the card
  bmaptool create -o "$1.bmap" "$1.img" 2>/dev/null
  head -c "$(stat -c %s built.img)" /dev/zero | tr '\0' '\377' >card # a card that was in use
  card=$(losetup --find --show card)
  python3 tree/usr/bin/bmaptool copy --bmap "$1.bmap" "$1.img" "$card" >said 2>&1 || { cat said; exit 1; }
  losetup --detach "$card"
  rm -rf files
  tree/usr/bin/fsck.erofs --extract=files card >/dev/null
  local seen
  seen=$(od -An -tx1 -v -w1 files/counters | sort | uniq -c | sed 's/^ *//' | paste -sd,)
  echo "$1: $(grep -o '<MappedBlocksCount> *[0-9]*' "$1.bmap" | grep -o '[0-9]*') of $(($(stat -c %s built.img) / 4096)) blocks mapped, \
image $(cmp -s built.img card && echo right || echo wrong), bytes of the file of zeros: $seen"
  # The holes begin at a block of the program that unpacks.
  local old
  old=$(grep -o '[0-9]*  ff' <<<"$seen" | grep -o '^[0-9]*' || echo 0)
  if [ "$2" = old ]; then [ "$old" -gt 900000 ]; else [ "$old" = 0 ]; fi
}
expect built new
expect gzip new
expect zstd old
expect xz old
echo "as found: bmap-tools $bmap"
