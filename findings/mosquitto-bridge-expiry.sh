#!/bin/bash
# What one would guess: a message with an expiry interval that crosses a bridge expires behind it, too. A command that is retained for two
# seconds is gone after two seconds at every broker.
#
# What Mosquitto 2.0.11 (Debian 12) does with `topic # out 1` between two brokers that both speak MQTT 5: the bridge itself is a client of
# MQTT 3.1.1, for `bridge_protocol_version` is mqttv311 unless it is set (mosquitto.conf(5)). It forwards the message without its
# properties: the first broker removes it in time, at the second one it is retained for good, and a device that connects a year later gets
# the command. Response topic, correlation data and content type are lost as well, so an answer to a request has nowhere to go. There is
# no warning. With `bridge_protocol_version mqttv50` all of them arrive, and the message expires at both.
#
# Needs: bash, npm, Node 20, apt-get with Debian 12's packages (libwrap0 and libssl3 installed). No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" mqtt@5.16.0 >/dev/null
apt-get download -q mosquitto=2.0.11-1.2+deb12u2 libdlt2 >/dev/null 2>&1
echo 'Mosquitto 2.0.11-1.2+deb12u2'
for package in *.deb; do dpkg -x "$package" tree; done
LD_LIBRARY_PATH=$(dirname "$(find "$work/tree" -name 'libdlt.so.2' | head -1)")
export LD_LIBRARY_PATH
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { connectAsync } from 'mqtt';

const brokers = [];
async function start(name, configuration = '') {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address();
  free.close();
  await once(free, 'close');
  const user = process.getuid() === 0 ? 'user root\n' : '';
  writeFileSync(`${name}.conf`, `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}${configuration}`);
  const broker = spawn('tree/usr/sbin/mosquitto', ['-c', `${name}.conf`], { stdio: ['ignore', 'ignore', 'pipe'] });
  brokers.push(broker);
  broker.stderr.setEncoding('utf8');
  let log = '';
  broker.stderr.on('data', (text) => (log += text));
  while (!log.includes('running')) await Promise.race([once(broker.stderr, 'data'), once(broker, 'exit').then(() => assert.fail(log))]);
  return port;
}
const connect = (port) => connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 0 });

/** The message that is retained below `topic`, or null after a second without one. */
async function retained(port, topic) {
  const client = await connect(port);
  const message = new Promise((resolve) => client.once('message', (_topic, _payload, packet) => resolve(packet)));
  await client.subscribeAsync(topic, { qos: 1 });
  const found = await Promise.race([message, new Promise((resolve) => setTimeout(resolve, 1000, null))]);
  await client.endAsync();
  return found;
}

const seen = {};
try {
  const far = await start('far');
  for (const [name, option] of [['as it is', ''], ['mqttv50', 'bridge_protocol_version mqttv50\n']]) {
    const topic = `device/${option ? 'five' : 'unset'}/command`;
    const near = await start(`near-${option ? 'five' : 'unset'}`, `connection far\nremote_clientid ${topic.replaceAll('/', '-')}\naddress 127.0.0.1:${far}\n${option}topic # out 1\n`);
    const watcher = await connect(far);
    await watcher.subscribeAsync(topic, { qos: 1 });
    const arrival = once(watcher, 'message');
    const operator = await connect(near);
    const properties = { messageExpiryInterval: 2, responseTopic: 'answers', correlationData: Buffer.from('7'), contentType: 'application/cbor' };
    await operator.publishAsync(topic, 'open the lock', { qos: 1, retain: true, properties });
    const [, payload, packet] = await arrival;
    assert.equal(payload.toString(), 'open the lock');
    const arrived = Object.keys(packet.properties ?? {}).filter((key) => key in properties).sort();
    await new Promise((resolve) => setTimeout(resolve, 4000)); // it has expired
    const after = await Promise.all([near, far].map(async (port) => ((await retained(port, topic)) ? 'still retained' : 'gone')));
    console.log(`${name}: properties at the second broker: ${arrived.join(', ') || 'none'}; after 4 s: first broker ${after[0]}, second broker ${after[1]}`);
    seen[name] = [arrived.length, ...after];
    await watcher.endAsync();
    await operator.endAsync();
  }
} finally {
  for (const broker of brokers) broker.kill();
}
assert.deepEqual(seen, { 'as it is': [0, 'gone', 'still retained'], mqttv50: [4, 'gone', 'gone'] });
JS
timeout 120 node run.mjs
