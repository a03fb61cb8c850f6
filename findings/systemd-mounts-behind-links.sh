#!/bin/bash
# What one would guess: `RequiresMountsFor=/srv/data` covers the disk on which /srv/data is. The manual says that it adds
# dependencies on "all mount units required to access the specified path", and /srv/data may be a symbolic link to the disk.
#
# What systemd 252.39 (Debian 12) does: it compares the text of the path with the mount points and does not follow links. The
# service with the link requires nothing and starts before the disk is mounted. No warning is logged. It then writes below the
# mount point, and the mount hides what it wrote. The paths on both sides of the link have to be in the unit.
#
# Needs: bash, apt-get with Debian 12's packages. No root, no running systemd: `systemd-analyze verify` loads the units of a
# folder and prints them when it logs debug messages.
set -euo pipefail
version=252.39-1~deb12u2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "systemd=$version" "libsystemd-shared=$version" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(dirname "$(find "$work/tree" -name 'libsystemd-core-252.so')"):$(dirname "$(find "$work/tree" -name 'libsystemd-shared-252.so')")
export LD_LIBRARY_PATH
analyze=$work/tree/usr/bin/systemd-analyze
"$analyze" --version | head -1
mkdir units
ln -s /mnt/disk data
printf '[Mount]\nWhat=/dev/sda1\nWhere=/mnt/disk\n' >units/mnt-disk.mount
printf '[Unit]\nRequiresMountsFor=/mnt/disk/database\n[Service]\nExecStart=/bin/true\n' >units/direct.service
printf '[Unit]\nRequiresMountsFor=%s/data/database\n[Service]\nExecStart=/bin/true\n' "$work" >units/behind.service
requires() { # unit
  SYSTEMD_LOG_LEVEL=debug SYSTEMD_UNIT_PATH="$work/units:" "$analyze" verify --man=no "units/$1" 2>/dev/null |
    sed -n 's/^\t*\(Requires: mnt-disk.mount\).*/\1/p' | sort -u
}
echo "data is a link to $(readlink data), which the unit mnt-disk.mount mounts"
echo "RequiresMountsFor=/mnt/disk/database: $(requires direct.service)"
echo "RequiresMountsFor=…/data/database: $(requires behind.service)"
[ "$(requires direct.service)" = 'Requires: mnt-disk.mount' ]
[ -z "$(requires behind.service)" ]
echo "as found: systemd $version"
