#!/bin/bash
# What one would guess: a client identifier is opaque to the broker. MQTT 3.1.1 lets a server refuse characters beyond letters and digits
# (MQTT-3.1.3-5), but a name such as "harbour.crane-7" works with every common one, and a broker that accepted it keeps doing so.
#
# What nats-server does: 2.10.27 of Debian 13 accepts a dot, a space and an asterisk. 2.15.1 of Debian testing refuses all three with
# CONNACK 2 (identifier rejected; its log: invalid character in client ID) and accepts "_", ":" and "/". So devices whose identifiers
# have a dot cannot connect after an upgrade of the broker.
#
# Needs: bash, npm, Node 20, apt-get, dpkg, Debian's archive keyring, amd64. The packages are unpacked into a temporary folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" mqtt@5.16.0 >/dev/null
mkdir -p lists/partial cache/archives/partial
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n' trixie forky >sources.list
get() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
}
get update
for suite in trixie forky; do
  mkdir "$suite"
  (cd "$suite" && get download "nats-server/$suite" && dpkg -x ./*.deb .)
done
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { connectAsync } from 'mqtt';

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// 'accepted', or the code of the CONNACK.
async function tryIdentifier(port, clientId) {
  for (let attempt = 0; ; attempt++) {
    try {
      const client = await connectAsync(
        `mqtt://127.0.0.1:${port}`,
        { clientId, protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5000 },
        false,
      );
      await client.endAsync();
      return 'accepted';
    } catch (error) {
      if (typeof error.code === 'number') return error.code;
      if (attempt === 50) throw error; // it starts
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function ask(suite) {
  const program = `${suite}/usr/sbin/nats-server`;
  const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  const port = await freePort();
  const config = `${suite}/nats.conf`;
  writeFileSync(
    config,
    `server_name: one
listen: "127.0.0.1:${await freePort()}"
jetstream { store_dir: "${process.cwd()}/${suite}/store" }
mqtt { listen: "127.0.0.1:${port}" }
`,
  );
  const server = spawn(program, ['-c', config], { stdio: 'ignore' });
  try {
    const answers = {};
    for (const id of ['harbour_crane-7', 'harbour:crane-7', 'harbour/crane-7', 'harbour.crane-7', 'crane 7', 'crane*7'])
      answers[id] = await tryIdentifier(port, id);
    console.log(version, answers);
    return Object.values(answers);
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

const accepted = 'accepted';
assert.deepEqual(await ask('trixie'), Array(6).fill(accepted));
assert.deepEqual(await ask('forky'), [accepted, accepted, accepted, 2, 2, 2]);
JS
timeout 90 node run.mjs
echo 'as found: nats-server 2.15.1 rejects what 2.10.27 accepts'
