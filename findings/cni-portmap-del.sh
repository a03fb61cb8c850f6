#!/bin/bash
# What one would guess: CNI's portmap plugin finds the rules of ADD by the container's ID. DEL, which returns 0, has removed them;
# CHECK after a successful ADD returns 0.
#
# What portmap 1.1.1 of Debian 12 does (iptables 1.8.9, nf_tables):
# - DEL without `runtimeConfig.portMappings` (the rest of the call is the same): status 0, and the chain stays with its DNAT rule.
#   The port of the host is forwarded to the next container with that address. DEL with the mappings removes it. So a runtime
#   has to keep capability arguments as durably as the network's name.
# - CHECK directly after a successful ADD: status 1, always.
#
# Needs: bash, apt-get with Debian 12's packages, unshare, ip, iptables. No root where user namespaces are allowed.
set -euo pipefail
version=1.1.1+ds1-3+b5
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download -q "containernetworking-plugins=$version" >/dev/null 2>&1 && dpkg -x ./*.deb tree)
  echo "containernetworking-plugins $version, $(PATH=$PATH:/usr/sbin iptables --version)"
  unshare --user --map-root-user --net --mount "$0" inside "$work"
  echo "as found: portmap $version"
  exit
fi
cd "$2"
export PATH=$PATH:/usr/sbin
mount -t tmpfs none /run # iptables' lock
ip link set lo up
network='"cniVersion":"1.0.0","name":"net","type":"portmap","capabilities":{"portMappings":true}'
mappings='"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}'
result='"prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/proc/self/ns/net"}],
  "ips":[{"interface":0,"address":"192.0.2.2/24"}]}'
call() { # command, configuration
  local status=0
  CNI_COMMAND=$1 CNI_CONTAINERID=first CNI_NETNS=/proc/self/ns/net CNI_IFNAME=eth0 CNI_PATH=tree/usr/lib/cni \
    tree/usr/lib/cni/portmap <<<"{$2}" >answer || status=$?
  echo "$1: status $status$([ $status = 0 ] || grep '"msg"' answer | cut -c1-90); rules to the container: $(rules)"
  return $status
}
rules() { iptables -t nat -S | grep -c -- '--to-destination 192.0.2.2:80' || true; }
call ADD "$network,$mappings,$result"
[ "$(rules)" = 1 ]
if call CHECK "$network,$mappings,$result"; then exit 1; fi
echo 'without the mappings:'
call DEL "$network,$result"
[ "$(rules)" = 1 ]
echo 'with them:'
call DEL "$network,$mappings,$result"
[ "$(rules)" = 0 ]
