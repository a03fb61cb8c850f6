#!/bin/bash
# What one would guess: QoS 2 is the safest level of MQTT. When its handshake has ended, the broker has the message. A broker that
# has too many in flight accepts no more of them, or ends the connection.
#
# What Mosquitto 2.0.11 (Debian 12) with its default settings does with 100 messages that mqtt.js 5.16.0 publishes at once:
# - MQTT 3.1.1: it completes all 100 handshakes, and 20 messages (more on a slow link) reach the subscriber. It answers the others
#   with PUBREC and drops them, since `max_inflight_messages` is 20 and a PUBREC of 3.1.1 cannot refuse. Nothing is logged at the
#   usual level.
# - MQTT 5: CONNACK has Receive Maximum 20, mqtt.js sends all 100 anyway. Those that are dropped have the reason code 0x97, which
#   mqtt.js reports as an error of the publication. It does not send them again.
# - QoS 1 loses none: each message is acknowledged at once, so it is never in flight.
# Debian 13's 2.0.21 does the same. `max_inflight_messages 0` has no limit; a client that waits for each PUBCOMP loses none.
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

const count = 100;

async function startBroker(settings) {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address();
  free.close();
  await once(free, 'close');
  const user = process.getuid() === 0 ? 'user root\n' : '';
  writeFileSync('mosquitto.conf', `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}${settings}`);
  const broker = spawn('tree/usr/sbin/mosquitto', ['-c', 'mosquitto.conf'], { stdio: ['ignore', 'ignore', 'pipe'] });
  broker.stderr.setEncoding('utf8');
  let log = '';
  broker.stderr.on('data', (text) => (log += text));
  while (!log.includes('running')) await Promise.race([once(broker.stderr, 'data'), once(broker, 'exit').then(() => assert.fail(log))]);
  return { broker, url: `mqtt://127.0.0.1:${port}`, log: () => log };
}

/** How many publications mqtt.js reports as done, how many as failed, and how many messages arrive. */
async function ask(url, protocolVersion, qos) {
  const observer = await connectAsync(url);
  const arrived = new Set();
  observer.on('message', (topic) => arrived.add(topic));
  await observer.subscribeAsync('harbour/+/event', { qos: 0 });
  const publisher = await connectAsync(url, { protocolVersion, reconnectPeriod: 0 });
  const publications = Array.from({ length: count }, (_, n) => publisher.publishAsync(`harbour/crane-${n}/event`, 'moved', { qos }));
  const results = await Promise.allSettled(publications);
  await new Promise((resolve) => setTimeout(resolve, 1000)); // until nothing comes any more
  await publisher.endAsync();
  await observer.endAsync();
  const reasons = new Set(results.flatMap(({ reason }) => (reason ? [reason.message] : [])));
  const done = results.filter(({ status }) => status === 'fulfilled').length;
  console.log(`MQTT ${protocolVersion === 4 ? '3.1.1' : '5'}, QoS ${qos}: ${done} of ${count} done, ${arrived.size} arrived ${[...reasons].join()}`);
  return { done, arrived: arrived.size };
}

const { broker, url, log } = await startBroker('');
const seen = [await ask(url, 4, 1), await ask(url, 4, 2), await ask(url, 5, 1), await ask(url, 5, 2)];
broker.kill();
await once(broker, 'exit');
const logged = log().split('\n').filter((line) => /drop|quota|exceed|denied/i.test(line)).length;
console.log(`lines of the broker's log about it: ${logged}`);
const all = { done: count, arrived: count };
assert.deepEqual([seen[0], seen[2]], [all, all]);
assert.ok(seen[1].done === count && seen[1].arrived < count, 'MQTT 3.1.1 hides what it drops');
assert.ok(seen[3].done < count && seen[3].arrived === seen[3].done, 'MQTT 5 reports what it drops');
assert.equal(logged, 0);

const unlimited = await startBroker('max_inflight_messages 0\n');
console.log('with max_inflight_messages 0:');
assert.deepEqual(await ask(unlimited.url, 4, 2), all);
unlimited.broker.kill();
await once(unlimited.broker, 'exit');
JS
timeout 90 node run.mjs
echo 'as found: Mosquitto 2.0.11'
