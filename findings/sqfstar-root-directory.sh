#!/bin/bash
# What one would guess: sqfstar and tar2sqfs make the same files of an archive, and the root directory of the image has the mode and owner of
# the entry `./`, with which `tar -C DIRECTORY -c .` begins.
#
# What sqfstar of squashfs-tools 4.5.1 (Debian 12) does: it ignores the entry. The root directory is of root with mode 0777 and has the
# time of the run: under a writable overlay every user may add and rename files in /, and two builds differ. sqfstar prints "Empty tar
# filename after skipping leading /, ./, or ../, ignoring" and returns 0. tar2sqfs 1.2.0 (squashfs-tools-ng) keeps mode, owner and time,
# and so does `mksquashfs DIRECTORY` of the same package as sqfstar. `-root-mode`, `-root-uid`, `-root-gid` and `-root-time` set them; the
# manual page has 0777 as the default of the first, in an example.
#
# Needs: bash, tar, apt-get with Debian 12's packages. No root.
set -euo pipefail
tools=1:4.5.1-1 ng=1.2.0-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "squashfs-tools=$tools" "squashfs-tools-ng=$ng" "libsquashfs1=$ng" liblzo2-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH TZ=UTC
unset SOURCE_DATE_EPOCH
mkdir -p source/etc
echo text >source/etc/file
chmod 750 source source/etc
touch -d '2020-09-13 12:26:40 UTC' source/etc source
tar --owner=7 --group=8 -C source -cf archive.tar .
tar --list --verbose --numeric-owner -f archive.tar | sed -n 1,2p
tree/usr/bin/sqfstar -quiet -no-progress sqfstar.img <archive.tar 2>said >&2
cat said
tree/usr/bin/tar2sqfs -q tar2sqfs.img <archive.tar
tree/usr/bin/mksquashfs source mksquashfs.img -quiet -no-progress >/dev/null
root() { # image
  tree/usr/bin/unsquashfs -lln "$1" | sed -n 's/^\(d[rwxt-]*\) *\([0-9]*\/[0-9]*\) *[0-9]* \(....-..-.. ..:..\) squashfs-root$/\1 \2 \3/p'
}
etc() { tree/usr/bin/unsquashfs -lln "$1" | sed -n 's/^\(d[rwxt-]*\) *\([0-9]*\/[0-9]*\) .*squashfs-root\/etc$/\1 \2/p'; }
for image in sqfstar tar2sqfs; do
  echo "$image: / $(root $image.img), /etc $(etc $image.img)"
  [ "$(etc $image.img)" = 'drwxr-x--- 7/8' ]
done
echo "mksquashfs: / $(root mksquashfs.img)"
[ "$(root mksquashfs.img)" = "drwxr-x--- $(stat -c %u/%g source) 2020-09-13 12:26" ]
[ "$(root tar2sqfs.img)" = 'drwxr-x--- 7/8 2020-09-13 12:26' ]
case $(root sqfstar.img) in
'drwxrwxrwx 0/0 2020-09-13 12:26') exit 1 ;;
'drwxrwxrwx 0/0 '*) ;;
*) exit 1 ;;
esac
grep -q 'Empty tar filename' said
echo "as found: squashfs-tools $tools"
