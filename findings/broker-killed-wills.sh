#!/bin/bash
# What one would guess: a broker that keeps sessions over a crash keeps the will of each session. The will is part of the session
# state (MQTT 5, 4.1). A device that is not there any more when the broker is back is shown as down.
#
# What Mosquitto 2.0.11 with persistence and nats-server 2.9.10 with JetStream (both Debian 12) do when they are killed: the
# retained "up" of a device comes back with the session, its will does not. If the device does not return (a power cut that hits
# both), "up" is shown for good. The script waits 10 s after the restart; nothing is left that could publish it later. Mosquitto
# does the same with MQTT 5. When Mosquitto is stopped by SIGTERM, it publishes all wills before it ends and stores them, so a
# test with an orderly restart does not show the fault. Whoever shows presence needs a time in it, or has to ask the device.
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
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
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

async function connect(url, options) {
  for (let attempt = 0; ; attempt++) {
    try {
      const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5000, ...options });
      client.on('error', () => {});
      return client;
    } catch (error) {
      if (attempt === 100) throw error; // it starts
      await sleep(100);
    }
  }
}

/** What is retained after the broker was ended and started again, and the device did not come back. */
async function ask(name, signal, [command, args], port, stored) {
  const url = `mqtt://127.0.0.1:${port}`;
  let server = spawn(command, args, { stdio: 'ignore' });
  try {
    const will = { topic: 'crane/live', payload: 'down', qos: 1, retain: true };
    const session = { clientId: 'crane', clean: false };
    const device = await connect(url, { ...session, will });
    await device.subscribeAsync('crane/command', { qos: 1 });
    await device.publishAsync('crane/live', 'up', { qos: 1, retain: true });
    while (!stored()) await sleep(100);
    await sleep(2000); // Mosquitto stores it after a second
    server.kill(signal);
    await once(server, 'exit');
    device.end(true);

    server = spawn(command, args, { stdio: 'ignore' });
    const observer = await connect(url);
    const live = [];
    observer.on('message', (_topic, payload) => live.push(String(payload)));
    await observer.subscribeAsync('crane/live', { qos: 1 });
    await sleep(10_000);
    // The device was a session of the broker all the time.
    const back = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, ...session });
    const kept = await new Promise((resolve) => {
      back.on('message', () => resolve(true));
      observer.publish('crane/command', 'x', { qos: 1 });
      setTimeout(() => resolve(false), 5000);
    });
    console.log(`${name}, ${signal}: retained afterwards: ${live.join()}; session ${kept ? 'kept' : 'lost'}`);
    back.end(true);
    observer.end(true);
    return { live, kept };
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

async function mosquitto(signal) {
  const port = await freePort();
  const data = `${process.cwd()}/${signal}/`;
  mkdirSync(data);
  const user = process.getuid() === 0 ? 'user root\n' : '';
  writeFileSync(`${signal}.conf`, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location ${data}
autosave_on_changes true\nautosave_interval 1\n${user}`);
  return ask('Mosquitto', signal, ['tree/usr/sbin/mosquitto', ['-c', `${signal}.conf`]], port, () => existsSync(`${data}mosquitto.db`));
}

async function nats(signal) {
  const port = await freePort();
  writeFileSync('nats.conf', `server_name: one
listen: "127.0.0.1:${await freePort()}"
jetstream { store_dir: "${process.cwd()}/store" }
mqtt { listen: "127.0.0.1:${port}" }
`);
  return ask('nats-server', signal, ['tree/usr/sbin/nats-server', ['-c', 'nats.conf']], port, () => true);
}

const up = { live: ['up'], kept: true };
assert.deepEqual(await mosquitto('SIGKILL'), up);
assert.deepEqual(await nats('SIGKILL'), up);
assert.deepEqual(await mosquitto('SIGTERM'), { live: ['down'], kept: true });
JS
timeout 120 node run.mjs
echo 'as found: Mosquitto 2.0.11, nats-server 2.9.10'
