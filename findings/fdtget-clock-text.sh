#!/bin/bash
# What one would guess: `fdtget board.dtb /cpus/cpu@0 clock-frequency` prints a number for each board, since `clock-frequency` is a
# number of 32 or 64 bits (Devicetree Specification, 3.8.1). The manual page names no default for the type.
#
# What fdtget 1.6.1 (Debian 12) does: it guesses from the bytes. A value whose bytes are letters with a zero behind is text: a CPU of
# 1.5 GHz (0x59682f00) has the clock "Yh/", one of 1.4 GHz "SrN", while 1.0 and 1.2 GHz are numbers. `dtc -O dts` writes
# `clock-frequency = "Yh/"` as well; compiled again it is the same four bytes. So a script that reads clocks, addresses or sizes works
# on one board and prints letters on the next. Of the whole MHz from 500 to 2500, 68 are text. Cells of 64 bits are numbers. `fdtget -t u`
# always prints a number.
#
# Needs: bash, apt-get with Debian 12's packages. No root.
set -euo pipefail
dtc=1.6.1-4+b1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "device-tree-compiler=$dtc" "libfdt1=$dtc" libyaml-0-2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(find "$work/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
tree/usr/bin/dtc --version
{
  printf '/dts-v1/;\n/ {\n\tclock-frequency = <1500000000>;\n\topp-hz = /bits/ 64 <1500000000>;\n'
  for mhz in $(seq 500 2500); do printf '\tclock-%d = <%d>;\n' "$mhz" $((mhz * 1000000)); done
  echo '};'
} >board.dts
tree/usr/bin/dtc -q -O dtb -o board.dtb board.dts
get() { tree/usr/bin/fdtget board.dtb / "$@"; }
for mhz in 1000 1200 1400 1500; do echo "$mhz MHz: $(get "clock-$mhz")"; done | tee seen
[ "$(paste -sd, seen)" = '1000 MHz: 1000000000,1200 MHz: 1200000000,1400 MHz: SrN,1500 MHz: Yh/' ]
echo "1500 MHz, 64 bits: $(get opp-hz); -t u: $(tree/usr/bin/fdtget -t u board.dtb / clock-frequency)"
[ "$(get opp-hz)" = '0 1500000000' ]
[ "$(tree/usr/bin/fdtget -t u board.dtb / clock-frequency)" = 1500000000 ]
tree/usr/bin/dtc -q -I dtb -O dts board.dtb >again.dts
grep -P '^\tclock-frequency' again.dts
grep -q 'clock-frequency = "Yh/";' again.dts
tree/usr/bin/dtc -q -O dtb -o again.dtb again.dts
cmp board.dtb again.dtb
text=$(grep -Pc '^\tclock-[0-9]+ = "' again.dts)
echo "$text of the whole MHz from 500 to 2500 are written as text"
[ "$text" = 68 ]
echo "as found: device-tree-compiler $dtc"
