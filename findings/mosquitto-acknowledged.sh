#!/bin/bash
# What one would guess: with `persistence true` and `autosave_on_changes true`, a retained message of QoS 1 that Mosquitto has
# acknowledged is on the disk. `autosave_interval 0` saves at once.
#
# What Mosquitto 2.0.11 (Debian 12) does when it gets SIGKILL after its PUBACK:
# - only `persistence true`: the message is lost. The file is written every 30 minutes and at exit.
# - with `autosave_on_changes true`, `autosave_interval 0`: gone, also a second later. 0 means never here as well.
# - with `autosave_on_changes true`, `autosave_interval 3`: gone, also a second later. The interval counts changes then, and a
#   second and third change may never come.
# - with `autosave_on_changes true`, `autosave_interval 1`: kept a second later. Directly after the PUBACK it is gone in nine of
#   ten tries, since the PUBACK is sent first. Each change writes the whole file again.
# So no setting makes PUBACK mean that the message survives; a publisher has to compare the messages that the broker keeps.
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
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { connectAsync } from 'mqtt';

const free = createServer().listen(0, '127.0.0.1');
await once(free, 'listening');
const { port } = free.address();
free.close();
await once(free, 'close');

async function start(settings) {
  const user = process.getuid() === 0 ? 'user root\n' : '';
  const config = `listener ${port} 127.0.0.1\nallow_anonymous true\n${user}persistence true\npersistence_location ${process.cwd()}/\n`;
  writeFileSync('mosquitto.conf', `${config}${settings.join('\n')}\n`);
  const broker = spawn('tree/usr/sbin/mosquitto', ['-c', 'mosquitto.conf'], { stdio: ['ignore', 'ignore', 'pipe'] });
  broker.stderr.setEncoding('utf8');
  for (let log = ''; !log.includes('running'); ) {
    const [piece] = await Promise.race([once(broker.stderr, 'data'), once(broker, 'exit').then(() => [undefined])]);
    if (piece === undefined) throw new Error(`mosquitto did not start: ${log}`);
    log += piece;
  }
  broker.stderr.resume();
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  client.on('error', () => {});
  return { client, kill: async () => (broker.kill('SIGKILL'), await once(broker, 'exit'), client.end(true)) };
}

async function survives(settings, milliseconds) {
  rmSync('mosquitto.db', { force: true });
  const before = await start(settings);
  await before.client.publishAsync('desired', 'version 2', { qos: 1, retain: true });
  if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds)); // the PUBACK is there
  await before.kill();
  const after = await start(settings);
  let found = false;
  after.client.on('message', () => (found = true));
  await after.client.subscribeAsync('desired');
  await after.client.publishAsync('other', '', { qos: 1 }); // what is retained comes before the answer to this
  await after.kill();
  return found;
}

const onChanges = 'autosave_on_changes true';
for (const [settings, keptLater] of [
  [[], false],
  [[onChanges, 'autosave_interval 0'], false],
  [[onChanges, 'autosave_interval 3'], false],
  [[onChanges, 'autosave_interval 1'], true],
]) {
  const later = await survives(settings, 1000);
  let gone = 0;
  for (let attempt = 0; attempt < 10; attempt++) if (!(await survives(settings, 0))) gone++;
  const name = ['persistence true', ...settings].join(', ');
  console.log(`${name}: killed after PUBACK: gone ${gone} of 10; a second later: ${later ? 'kept' : 'gone'}`);
  assert.equal(later, keptLater);
  assert.ok(gone > 0);
}
JS
timeout 120 node run.mjs
echo 'as found: Mosquitto 2.0.11'
