import type { Board } from '../qemu/index.ts';
import type { Group } from './bench.ts';
import { deployPod } from './pods.ts';

const perSecond = 50;
/** In a round. */
const requests = 500;

/** What an app waits for its metadata, when it asks as often as it may. */
export const metadataGroup: Group = {
  about: `metadata of a pod at ${perSecond} requests a second`,
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying the pod');
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/asks' });
    const pod = await deployPod(scene, { image, round: 0, metadata: true });
    const firsts: number[] = [];
    const times: number[] = [];
    for (let round = 1; round <= bench.rounds; round++) {
      const [first = Number.NaN, ...rest] = await ask(board, pod.unit);
      // Only the first of all finds neither of the programs running.
      firsts.push(first);
      times.push(...rest);
      rest.sort((a, b) => a - b);
      bench.say(`  round ${round}: p50 ${at(rest, 50).toFixed(2)}, p99 ${at(rest, 99).toFixed(2)} ms`);
    }
    const all = times.sort((a, b) => a - b);
    return [
      { name: 'metadata, the first request, ms', ours: firsts[0] ?? Number.NaN },
      { name: `metadata at ${perSecond} requests a second: 50 of 100 take, ms`, ours: at(all, 50) },
      {
        name: `metadata at ${perSecond} requests a second: 99 of 100 take, ms`,
        ours: at(all, 99),
        bound: board.name.includes('native') ? 10 : 100,
      },
    ];
  },
};

/** Of sorted numbers, the least that so many of a hundred do not exceed. */
function at(sorted: readonly number[], percent: number): number {
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
}

/**
 * Asks from the network of the pod, each time over a new connection as `curl` would, and without
 * waiting for the answers before: a slow answer counts for those that it holds up. The first
 * request is answered before the others begin.
 * @returns milliseconds from when each request was due to its answer
 */
async function ask(board: Board, unit: string): Promise<readonly number[]> {
  const output = await board.check(
    `pid=$(systemctl show -P MainPID '${unit}')
    url=$(tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^AC_METADATA_URL=//p')
    nsenter -n -t $pid node - "$url/acMetadata/v1/pod/uuid"`,
    { stdin: asker, timeoutMs: 300_000 },
  );
  return JSON.parse(output) as readonly number[];
}

const asker = `
const { connect } = require('node:net');
const { hostname, port, pathname } = new URL(process.argv[2]);
const request = 'GET ' + pathname + ' HTTP/1.1\\r\\nHost: pod\\r\\nMetadata-Flavor: AppContainer\\r\\nConnection: close\\r\\n\\r\\n';
const one = (due) => new Promise((resolve, reject) => {
  let answer = '';
  const socket = connect({ host: hostname, port, noDelay: true }, () => socket.write(request));
  socket.on('error', reject);
  socket.on('data', (data) => (answer += data));
  socket.on('end', () => {
    if (!answer.startsWith('HTTP/1.1 200 ')) reject(new Error(answer));
    resolve(performance.now() - due);
  });
});
(async () => {
  const times = [await one(performance.now())];
  const start = performance.now();
  const asked = [];
  for (let sent = 0; sent < ${requests}; sent++) {
    const due = start + sent * ${1000 / perSecond};
    await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    asked.push(one(due));
  }
  times.push(...(await Promise.all(asked)));
  console.log(JSON.stringify(times));
})();
`;
