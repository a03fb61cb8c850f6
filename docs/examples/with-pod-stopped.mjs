#!/usr/bin/env node
// Runs a program while a pod is stopped, for example to copy a volume that the pod writes to:
//
//   with-pod-stopped.mjs web tar -C /var/lib/wherry/volumes/web -cf /mnt/stick/web.tar .
//
// It uses the local API (docs/local-api.yaml), as any scheduler on a device can. A lock keeps new
// versions from being activated meanwhile. The pod is restarted in every case. The exit status is
// that of the program, or 1 if the pod does not become healthy again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const socketPath = process.env.WHERRY_API ?? '/run/wherry/api.sock';
const lock = 'with-pod-stopped';
const lockSeconds = 3600;
const comesBackWithinMs = 180_000;

/** Sends one request. A refusal is thrown as an error with its code. */
async function ask(method, path, body) {
  const text = body === undefined ? '' : JSON.stringify(body);
  const outgoing = request({
    ...{ socketPath, method, path, timeout: 90_000 },
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) },
  });
  outgoing.on('timeout', () => outgoing.destroy(new Error('wherry does not answer')));
  outgoing.end(text);
  const [response] = await once(outgoing, 'response');
  let answer = '';
  for await (const piece of response) answer += piece;
  const value = JSON.parse(answer);
  if (response.statusCode === 200) return value;
  throw Object.assign(new Error(value.error.message), { code: value.error.code });
}

/** Whether all apps of a pod run and every probe passes. */
function isUp({ apps }) {
  return apps.every(
    ({ activeState, probe }) => activeState === 'active' && (probe?.state ?? 'passing') === 'passing',
  );
}

async function awaitPod(pod) {
  const until = Date.now() + comesBackWithinMs;
  for (;;) {
    const state = await ask('GET', `/v1/pods/${pod}`);
    if (isUp(state)) return state;
    if (Date.now() > until) {
      const lines = await ask('GET', `/v1/pods/${pod}/logs?lines=10`);
      throw new Error(
        `${pod} does not come back; its last lines:\n${lines.map(({ text }) => text).join('\n')}`,
      );
    }
    await sleep(500);
  }
}

async function run(program, args) {
  const child = spawn(program, args, { stdio: 'inherit' });
  const [status] = await once(child, 'exit');
  return status ?? 1;
}

async function main([pod, program, ...args]) {
  if (program === undefined) {
    process.stderr.write('usage: with-pod-stopped.mjs POD PROGRAM [ARGUMENT...]\n');
    return 64;
  }
  const { report } = await ask('GET', '/v1/status');
  const phase = report?.deployment?.phase;
  if (['fetch', 'stage', 'activate', 'probation'].includes(phase)) {
    process.stderr.write(`a deployment is under way (${phase}); try again when it has ended\n`);
    return 75;
  }
  await ask('PUT', `/v1/locks/${lock}`, { reason: `${program} works on ${pod}`, seconds: lockSeconds });
  let status = 1;
  try {
    await ask('POST', `/v1/pods/${pod}/stop`);
    try {
      status = await run(program, args);
    } finally {
      await ask('POST', `/v1/pods/${pod}/start`);
    }
    const { apps } = await awaitPod(pod);
    for (const { app, pid, memoryBytes } of apps) {
      const memory = memoryBytes === null ? '' : `, ${memoryBytes >> 20} MiB`;
      process.stderr.write(`${pod}/${app} runs again as process ${pid}${memory}\n`);
    }
    return status;
  } finally {
    await ask('DELETE', `/v1/locks/${lock}`);
  }
}

main(process.argv.slice(2)).then(
  (status) => (process.exitCode = status),
  (error) => {
    process.stderr.write(`with-pod-stopped: ${error.message}${error.code ? ` (${error.code})` : ''}\n`);
    process.exitCode = 1;
  },
);
