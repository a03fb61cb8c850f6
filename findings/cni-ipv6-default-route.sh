#!/bin/bash
# What one would guess: a container network with an IPv6 range concerns the bridge, the container and forwarding between them. The
# host's own way to the network stays as it is, as with an IPv4 range.
#
# What CNI's bridge plugin 1.1.1 of Debian 12 does: with an IPv6 range and `isGateway` it sets net.ipv6.conf.all.forwarding to 1.
# The kernel then treats the host as a router: it removes at once the default route that it has learned from router advertisements
# (accept_ra = 1, the kernel's default) and accepts no further ones. The ADD of one container disconnects the host from the IPv6
# network. DEL does not undo it. `accept_ra = 2` on the uplink before the first ADD keeps the route. Hosts whose network manager
# reads the advertisements itself are not affected.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare, ip. No root where user namespaces are allowed: host, router and
# container are separate network namespaces.
set -euo pipefail
version=1.1.1+ds1-3+b5
if [ "${1-}" != inside ]; then
  self=$(realpath "$0")
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  apt-get download -q "containernetworking-plugins=$version" >/dev/null 2>&1
  dpkg -x ./*.deb tree
  echo "containernetworking-plugins $version, $(uname -sr)"
  for accept in 1 2; do unshare --user --map-root-user --net --mount "$self" inside "$work" $accept; done
  echo "as found: bridge $version"
  exit
fi
cd "$2"
export PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs none /run
mkdir /run/netns
python=$(python3 -c 'import sys; print(sys.executable)')
cat >advertise.py <<'PY'
import socket, struct
icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
index = socket.if_nametoindex('port')
icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
# Type 134; the kernel fills in the checksum; hop limit 64, no flags, default route for 1800 s.
icmp.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0), ('ff02::1', 0, 0, index))
PY
ip link set lo up
ip netns add router
ip netns add box
ip link add uplink type veth peer name port netns router
ip -n router link set port up
echo "$3" >/proc/sys/net/ipv6/conf/uplink/accept_ra
ip link set uplink up
route() { if [ -n "$(ip -6 route show default proto ra)" ]; then echo 'default route'; else echo 'no route'; fi; }
advertise() { # until the host has a route, or ten times
  for _ in $(seq "$1"); do
    ip netns exec router "$python" advertise.py 2>/dev/null || true # not before its own address is there
    sleep 0.3
    [ "$(route)" = 'no route' ] || break
  done
}
bridge() {
  CNI_COMMAND=$1 CNI_CONTAINERID=first CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH=tree/usr/lib/cni \
    tree/usr/lib/cni/bridge >answer <<'JSON'
{"cniVersion":"1.0.0","name":"net","type":"bridge","bridge":"cni9","isGateway":true,
 "ipam":{"type":"host-local","dataDir":"/run/leases","ranges":[[{"subnet":"2001:db8::/64"}]]}}
JSON
}
advertise 30
before=$(route)
bridge ADD
after=$(route)
advertise 10
again=$(route)
bridge DEL
echo "accept_ra $3: before ADD: $before; after: $after; after ten more advertisements: $again;" \
  "forwarding after DEL: $(cat /proc/sys/net/ipv6/conf/all/forwarding)"
[ "$before" = 'default route' ]
[ "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 1 ]
if [ "$3" = 1 ]; then [ "$after, $again" = 'no route, no route' ]; else [ "$after" = 'default route' ]; fi
