#!/bin/bash
# What one would guess: CNI's bandwidth plugin refuses a burst that no packet can pass, or such a burst only makes traffic slower.
# The rate is the limit.
#
# What bandwidth 1.1.1 of Debian 12 does: it passes the burst, in bits, to the kernel's token bucket, which drops every packet
# that is larger. ADD returns 0. With 10 Mbit/s and a burst of 8000 bits (1000 bytes) small packets pass, so a TCP connection is
# established and requests arrive, but full frames never do: a download stalls. From 16000 bits on everything works.
#
# Needs: bash, apt-get with Debian 12's packages, unshare, ip, python3 (3.10 or newer), a kernel with tbf. Root, for named network
# namespaces; the script uses only its own.
set -euo pipefail
version=1.1.1+ds1-3+b5
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download -q "containernetworking-plugins=$version" >/dev/null 2>&1 && dpkg -x ./*.deb tree)
  echo "containernetworking-plugins $version"
  unshare --net --mount "$0" inside "$work"
  echo "as found: bandwidth $version"
  exit
fi
cd "$2"
export PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs none /run
mkdir -p /run/netns
ip link set lo up
python=$(python3 -c 'import sys; print(sys.executable)')
cat >receive.py <<'PY'
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('192.0.2.2', 8000))
udp.settimeout(3)
try:
    while True:
        print(len(udp.recv(2000)))
except TimeoutError:
    pass
PY
cat >send.py <<'PY'
import socket, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3):
    for size in (56, 1400):
        udp.sendto(bytes(size), ('192.0.2.2', 8000))
        time.sleep(0.1)
PY
send() { # burst in bits; prints which packets arrive
  ip netns add box
  ip link add host type veth peer name eth0 netns box
  ip addr add 192.0.2.1/24 dev host
  ip link set host up
  ip -n box addr add 192.0.2.2/24 dev eth0
  ip -n box link set eth0 up
  local status=0 small=lost large=lost
  CNI_COMMAND=ADD CNI_CONTAINERID=first CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH=tree/usr/lib/cni \
    tree/usr/lib/cni/bandwidth >answer <<JSON || status=$?
{"cniVersion":"1.0.0","name":"net","type":"bandwidth","ingressRate":10000000,"ingressBurst":$1,
 "prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"host"},{"name":"eth0","sandbox":"/run/netns/box"}],
  "ips":[{"interface":1,"address":"192.0.2.2/24"}]}}
JSON
  ip netns exec box "$python" receive.py >arrived &
  local receiver=$!
  until ip netns exec box ss -Hlun | grep -q :8000; do sleep 0.05; done
  "$python" send.py
  wait "$receiver"
  grep -qx 56 arrived && small=arrive
  grep -qx 1400 arrived && large=arrive
  echo "burst $1 bits: ADD status $status, small packets $small, packets of 1400 bytes $large"
  ip netns del box
  ip link del host 2>/dev/null || true
  [ "$status $small $large" = "0 arrive $2" ]
}
send 8000 lost
send 16000 arrive
