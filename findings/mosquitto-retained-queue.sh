#!/usr/bin/env bash
# What one would guess: a subscriber to a wildcard with QoS 1 gets every retained message below it, as with QoS 0, only more
# reliably. A dashboard of a fleet that keeps one retained report per device shows all devices.
#
# What Mosquitto 2.0.11 (Debian 12) does with 3,000 retained messages and its default settings: SUBACK grants QoS 1, and 1,020
# messages arrive. All of them are put into the client's queue at once, which holds `max_queued_messages` (1,000) and 20 in flight;
# the rest is dropped. The client is not notified, and gets the same 1,020 when it subscribes once more: the other 1,980
# devices never appear. With QoS 0 all 3,000 arrive. The broker's log has one line about it, without a number.
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

const devices = 3000;

const free = createServer().listen(0, '127.0.0.1');
await once(free, 'listening');
const { port } = free.address();
free.close();
await once(free, 'close');

const user = process.getuid() === 0 ? 'user root\n' : '';
writeFileSync('mosquitto.conf', `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}`);
const broker = spawn('tree/usr/sbin/mosquitto', ['-c', 'mosquitto.conf'], { stdio: ['ignore', 'ignore', 'pipe'] });
broker.stderr.setEncoding('utf8');
let log = '';
broker.stderr.on('data', (text) => (log += text));
while (!log.includes('running')) await Promise.race([once(broker.stderr, 'data'), once(broker, 'exit').then(() => assert.fail(log))]);

const url = `mqtt://127.0.0.1:${port}`;
const publisher = await connectAsync(url);
for (let device = 0; device < devices; device++)
  await publisher.publishAsync(`fleet/device${device}/reported`, 'healthy', { qos: 1, retain: true });

/** How many different topics came, and how many of them came at a second subscription alone. */
async function seen(qos) {
  const client = await connectAsync(url, { reconnectPeriod: 0 });
  const topics = new Set();
  client.on('message', (topic) => topics.add(topic));
  const counts = [];
  for (let round = 0; round < 2; round++) {
    const [granted] = await client.subscribeAsync('fleet/+/reported', { qos });
    assert.equal(granted.qos, qos);
    for (let before = -1; before !== topics.size; ) {
      before = topics.size;
      await new Promise((resolve) => setTimeout(resolve, 2000)); // until nothing comes any more
    }
    counts.push(topics.size);
  }
  await client.endAsync();
  return counts;
}

const [least, most] = [await seen(1), await seen(0)];
console.log(`${devices} retained messages; with QoS 1 came ${least[0]}, after a second subscription ${least[1]}`);
console.log(`with QoS 0 came ${most[0]}`);
const dropped = log.split('\n').filter((line) => line.includes('dropped')).map((line) => line.replace(/^\d+: /, '').replace(/client \S+/, 'client ID'));
console.log(`the broker's log: ${[...new Set(dropped)].join('; ')}`);
await publisher.endAsync();
broker.kill();
await once(broker, 'exit');
assert.deepEqual([least, most], [[1020, 1020], [devices, devices]]);
JS
node run.mjs
