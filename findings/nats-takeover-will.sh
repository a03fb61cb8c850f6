#!/bin/bash
# What one would guess: when a second client connects with the identifier of the first, the broker closes the first connection,
# and since there was no DISCONNECT it publishes the will (MQTT 3.1.1, MQTT-3.1.4-2 and MQTT-3.1.2-8). Presence by wills can count on it.
#
# What nats-server 2.9.10 of Debian 12 does: it ends the first client and drops its will. The will is published when the first
# client's network is cut (shown as the control). Mosquitto 2.0.11 publishes it in both cases. So on NATS an observer never learns
# that a device has reconnected, and on Mosquitto the will of the old connection arrives after the reconnect: presence
# must contain a number of the connection to be right on both.
#
# Needs: bash, npm, Node 20, apt-get with Debian 12's packages (libwrap0 and libssl3 installed). No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" mqtt@5.16.0 >/dev/null
apt-get download -q nats-server=2.9.10-1+b3 mosquitto=2.0.11-1.2+deb12u2 libdlt2 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(dirname "$(find "$work/tree" -name 'libdlt.so.2' | head -1)")
export LD_LIBRARY_PATH
tree/usr/sbin/nats-server --version
echo 'Mosquitto 2.0.11-1.2+deb12u2'
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { connectAsync } from 'mqtt';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function connect(port, clientId, will) {
  const options = { clientId, protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5000, ...(will && { will }) };
  for (let attempt = 0; ; attempt++) {
    try {
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, options);
      client.on('error', () => {});
      return client;
    } catch (error) {
      if (attempt === 50) throw error; // it starts
      await sleep(100);
    }
  }
}

async function ask(name, start) {
  const port = await freePort();
  const server = spawn(...(await start(port)), { stdio: 'ignore' });
  try {
    const wills = [];
    const observer = await connect(port, 'observer');
    observer.on('message', (topic) => wills.push(topic));
    await observer.subscribeAsync('wills/#', { qos: 1 });
    const will = (topic) => ({ topic, payload: 'down', qos: 1, retain: false });

    const cut = await connect(port, 'cut', will('wills/cut'));
    cut.stream.destroy();
    const first = await connect(port, 'crane', will('wills/taken-over'));
    const ended = once(first, 'close');
    const second = await connect(port, 'crane');
    await ended;
    await sleep(3000); // what comes comes within milliseconds
    console.log(`${name}: the second client ended the first; wills published: ${wills.join(' ')}`);
    await second.endAsync();
    await observer.endAsync();
    return wills.sort();
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

const nats = await ask('nats-server', async (port) => {
  writeFileSync('nats.conf', `server_name: one
listen: "127.0.0.1:${await freePort()}"
jetstream { store_dir: "${process.cwd()}/store" }
mqtt { listen: "127.0.0.1:${port}" }
`);
  return ['tree/usr/sbin/nats-server', ['-c', 'nats.conf']];
});
const mosquitto = await ask('Mosquitto', async (port) => {
  const user = process.getuid() === 0 ? 'user root\n' : '';
  writeFileSync('mosquitto.conf', `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}`);
  return ['tree/usr/sbin/mosquitto', ['-c', 'mosquitto.conf']];
});
assert.deepEqual(nats, ['wills/cut']);
assert.deepEqual(mosquitto, ['wills/cut', 'wills/taken-over']);
JS
timeout 90 node run.mjs
echo 'as found: nats-server 2.9.10'
