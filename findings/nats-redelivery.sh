#!/bin/bash
# What one would guess: a device loses its connection before it has acknowledged a command of QoS 1. When it is back, it gets the
# command first, and then what was published later (MQTT 3.1.1, MQTT-4.4.0-1 and MQTT-4.6.0-6). While it stays connected, the
# broker does not send it again, however long the PUBACK takes.
#
# What the MQTT of nats-server 2.9.10 (Debian 12) does: only its timer sends again, 30 s after the first time (`ack_wait`).
# - After the reconnect it delivers the newer command at once and the older one 30 s later. A device that does what came last ends
#   in the older state.
# - A device that acknowledges a command after it has been carried out, in 35 s, gets it a second time on the same connection.
#   mqtt.js calls `handleMessage` again for it.
# Mosquitto 2.0.11 does what one would guess. Debian 13's nats-server 2.10.27 has the same order after a reconnect. A command must
# have a number of its own that the device compares.
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
import { connect, connectAsync } from 'mqtt';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function connectSoon(url, options) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5000, ...options });
    } catch (error) {
      if (attempt === 50) throw error; // it starts
      await sleep(100);
    }
  }
}

/** What a device gets that was cut off before its PUBACK: the messages in their order, and when they came. */
async function afterReconnect(url, operator) {
  const session = { protocolVersion: 4, clientId: 'cut', clean: false, reconnectPeriod: 0 };
  const device = await connectSoon(url, session);
  const received = new Promise((resolve) => (device.handleMessage = () => resolve())); // no PUBACK
  await device.subscribeAsync('cut/command', { qos: 1 });
  await operator.publishAsync('cut/command', 'older', { qos: 1 });
  await received;
  device.stream.destroy();
  await once(device, 'close');
  const messages = [];
  const again = connect(url, session);
  again.on('message', (_topic, payload) => messages.push({ text: String(payload), at: Date.now() }));
  const [connack] = await once(again, 'connect');
  assert.equal(connack.sessionPresent, true);
  await sleep(1000);
  await operator.publishAsync('cut/command', 'newer', { qos: 1 });
  while (messages.length < 2) await once(again, 'message');
  await again.endAsync();
  return { order: messages.map(({ text }) => text).join(), seconds: Math.round((messages[1].at - messages[0].at) / 1000) };
}

/** How often mqtt.js gives a command to a device that acknowledges it after 35 s. */
async function whileConnected(url, operator) {
  const device = await connectSoon(url, { clientId: 'slow', clean: false });
  let calls = 0;
  device.handleMessage = (_packet, acknowledge) => {
    calls++;
    setTimeout(acknowledge, 35_000);
  };
  await device.subscribeAsync('slow/command', { qos: 1 });
  await operator.publishAsync('slow/command', 'open the gate', { qos: 1 });
  await sleep(45_000);
  assert.equal(device.connected, true);
  device.end(true);
  return calls;
}

async function ask(name, start) {
  const port = await freePort();
  const server = spawn(...(await start(port)), { stdio: 'ignore' });
  try {
    const url = `mqtt://127.0.0.1:${port}`;
    const operator = await connectSoon(url, { clientId: 'operator' });
    const [{ order, seconds }, calls] = await Promise.all([afterReconnect(url, operator), whileConnected(url, operator)]);
    console.log(`${name}: after the reconnect came ${order}, ${seconds} s apart; a command acknowledged after 35 s came ${calls} times`);
    operator.end(true);
    return { order, late: seconds > 20, calls };
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

const [nats, mosquitto] = await Promise.all([
  ask('nats-server', async (port) => {
    writeFileSync('nats.conf', `server_name: one
listen: "127.0.0.1:${await freePort()}"
jetstream { store_dir: "${process.cwd()}/store" }
mqtt { listen: "127.0.0.1:${port}" }
`);
    return ['tree/usr/sbin/nats-server', ['-c', 'nats.conf']];
  }),
  ask('Mosquitto', async (port) => {
    const user = process.getuid() === 0 ? 'user root\n' : '';
    writeFileSync('mosquitto.conf', `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}`);
    return ['tree/usr/sbin/mosquitto', ['-c', 'mosquitto.conf']];
  }),
]);
assert.deepEqual(nats, { order: 'newer,older', late: true, calls: 2 });
assert.deepEqual(mosquitto, { order: 'older,newer', late: false, calls: 1 });
JS
timeout 180 node run.mjs
echo 'as found: nats-server 2.9.10'
