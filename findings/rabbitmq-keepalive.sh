#!/bin/bash
# What one would guess: a broker ends the connection of a client that is silent for one and a half times its keepalive
# (MQTT 3.1.1, MQTT-3.1.2-24), and publishes its will then. A device that lost its network is known to be down by that time.
#
# What RabbitMQ 3.10.8 (Debian 12) does: it ends it after three times the keepalive. With a keepalive of 300 s a device is shown as
# up for 15 minutes instead of 7.5. The script uses 4 s and prints how long it took.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare, overlay mounts in user namespaces (Linux 5.11). No root where user
# namespaces are allowed: RabbitMQ and Erlang are laid over /usr in a mount namespace of its own, with a network of its own.
set -euo pipefail
if [ "${1-}" != inside ]; then
  self=$(realpath "$0")
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  erlang=$(printf 'erlang-%s ' asn1 base crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl \
    syntax-tools tftp tools xmerl)
  # shellcheck disable=SC2086 # a list of names
  apt-get download -q rabbitmq-server=3.10.8-1.1+deb12u1 $erlang >/dev/null 2>&1
  for package in *.deb; do dpkg -x "$package" tree; done
  unshare --user --map-root-user --mount --net --pid --fork --mount-proc "$self" inside "$work"
  echo 'as found: RabbitMQ 3.10.8'
  exit
fi
cd "$2"
ip link set lo up
mount -t overlay -o "lowerdir=$PWD/tree/usr:/usr" overlay /usr
home=$(echo /usr/lib/rabbitmq/lib/rabbitmq_server-*)
echo "RabbitMQ ${home##*-}"
export PATH=/usr/lib/erlang/bin:$PATH HOME=$PWD ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=one@localhost \
  RABBITMQ_MNESIA_BASE=$PWD/mnesia RABBITMQ_LOG_BASE=$PWD/log RABBITMQ_PID_FILE=$PWD/pid RABBITMQ_CONF_ENV_FILE=$PWD/none \
  RABBITMQ_CONFIG_FILE=$PWD/rabbitmq.conf RABBITMQ_GENERATED_CONFIG_DIR=$PWD RABBITMQ_ENABLED_PLUGINS_FILE=$PWD/plugins
echo '[rabbitmq_mqtt].' >plugins
printf '%s\n' 'listeners.tcp = none' 'mqtt.listeners.tcp.1 = 127.0.0.1:1883' 'mqtt.allow_anonymous = true' >rabbitmq.conf
"$home/sbin/rabbitmq-server" >out 2>&1 & # it ends with the PID namespace
for _ in $(seq 240); do
  grep -q 'completed with' out && break
  sleep 0.5
done
grep -q 'completed with' out
python3 - <<'PY'
import socket, time
keepalive = 4
silent = socket.create_connection(('127.0.0.1', 1883))
silent.settimeout(60)
# CONNECT of MQTT 3.1.1: clean session, no will.
silent.sendall(b'\x10\x12\x00\x04MQTT\x04\x02\x00' + bytes([keepalive]) + b'\x00\x06silent')
assert silent.recv(4) == b'\x20\x02\x00\x00'
began = time.monotonic()
try:
    assert silent.recv(1) == b''
except ConnectionResetError:
    pass
periods = (time.monotonic() - began) / keepalive
print(f'ended after {periods:.1f} keepalive periods')
assert 2.5 < periods < 4, 'not three periods any more'
PY
