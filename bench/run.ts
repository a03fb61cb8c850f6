import { parseArgs } from 'node:util';
import { Scene } from '../test/board/scene.ts';
import type { Bench, Group } from './bench.ts';
import { connectGroup } from './connect.ts';
import { benchFleet } from './fleet/index.ts';
import { gigabyteGroup } from './gigabyte.ts';
import { idleGroup } from './idle.ts';
import { benchInstructions } from './instructions/index.ts';
import { manyGroup, pairsGroup } from './many-pods.ts';
import { dockerGroup, memoryGroup } from './memory.ts';
import { metadataGroup } from './metadata.ts';
import { networkGroup } from './network.ts';
import { packageGroup } from './package.ts';
import { pullGroup } from './pull.ts';
import { startGroup } from './start.ts';
import { formatTable, judge, type Measurement } from './table.ts';
import { visitsGroup } from './visits.ts';

const groups: Readonly<Record<string, Group>> = {
  package: packageGroup,
  connect: connectGroup,
  start: startGroup,
  network: networkGroup,
  metadata: metadataGroup,
  pull: pullGroup,
  memory: memoryGroup,
  docker: dockerGroup,
  idle: idleGroup,
  visits: visitsGroup,
  gigabyte: gigabyteGroup,
  many: manyGroup,
  pairs: pairsGroup,
};

/** Those that need no block device and no daemon of Docker. */
const nativeGroups = [
  ...['connect', 'start', 'network', 'metadata', 'pull', 'memory', 'idle', 'visits', 'many', 'pairs'],
];

const help = `Usage: npm run bench -- [--only PATTERN] [--json] [--quick] [--board NAME]

Measures wherry and its peers side by side on one emulated board, and prints a table of measurements and bounds (about 40 minutes).

  --only PATTERN  only groups whose names match this regular expression (default: all except those marked *):
${Object.entries(groups)
  .map(
    ([name, { about, onlyByName }]) =>
      `                    ${`${name}${onlyByName ? '*' : ''}`.padEnd(9)} ${about}`,
  )
  .join('\n')}
  --json          print one JSON array of {name, ours, peer, ratio, bound, ok} instead of the table
  --quick         fewer rounds, smaller images, a shorter idle time: a test of the benchmarks, not for comparison
  --board NAME    a board with podman, docker.io and containerd (default: bench-armv8)
  --native        at full speed, in a container of this machine's architecture: ${nativeGroups.join(', ')} (about ten minutes)
  --instructions  instead: count ARM instructions under user-mode QEMU (about three minutes, no board)
  --check         … and fail if a count has grown by more than 10 % past bench/instructions.json
  --store         … and replace the counts in bench/instructions.json
  --fleet COUNT   instead: rollouts to COUNT simulated devices on a broker of this machine (minutes; 1000,10000
                  makes two runs and compares them)
  --broker NAME   … mosquitto (default), rabbitmq or nats, the last two as three nodes
  --help          print this

A bound applies to the ratio, or without a peer to our number. Missed bounds are printed and are not failures; the
status is 0 when everything could be measured.
`;

const full = { rounds: 5, idleMinutes: 10, pullMegabytes: [20, 80] } as const;
const quick = { rounds: 1, idleMinutes: 2, pullMegabytes: [5, 20] } as const;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      board: { type: 'string' },
      native: { type: 'boolean', default: false },
      instructions: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      store: { type: 'boolean', default: false },
      fleet: { type: 'string' },
      broker: { type: 'string', default: 'mosquitto' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const say = (sentence: string): void => void process.stderr.write(`bench: ${sentence}\n`);
  const { instructions, json, check, store } = values;
  if (values.fleet !== undefined) {
    const counts = values.fleet.split(',').map(Number);
    if (!counts.every((count) => Number.isSafeInteger(count) && count > 0))
      throw new Error('--fleet takes numbers of devices, such as 1000 or 1000,10000');
    return await benchFleet({ counts, broker: values.broker, json, say });
  }
  if (instructions) return await benchInstructions({ json, check, store, say });
  if (check || store) throw new Error('--check and --store belong to --instructions; see --help');
  if (values.native && values.board !== undefined) throw new Error('--native names the board; see --help');
  const boardName = values.native ? 'bench-native' : (values.board ?? 'bench-armv8');
  const pattern = new RegExp(values.only);
  const chosen = Object.entries(groups).filter(
    ([name, { onlyByName }]) =>
      pattern.test(name) &&
      (values.only !== '' || onlyByName !== true) &&
      (!values.native || nativeGroups.includes(name)),
  );
  if (chosen.length === 0) throw new Error(`no group matches ${values.only}; see --help`);

  let starting: Promise<Scene> | undefined;
  const bench: Bench = {
    ...(values.quick ? quick : full),
    say,
    scene: () => {
      if (starting === undefined) say(`booting ${boardName}`);
      return (starting ??= Scene.start(boardName));
    },
  };
  const measurements: Measurement[] = [];
  const failures: string[] = [];
  try {
    for (const [name, group] of chosen) {
      say(`${name}: ${group.about}`);
      try {
        measurements.push(...(await group.measure(bench)));
      } catch (error) {
        failures.push(
          `${name} could not be measured: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  } finally {
    await (await starting)?.stop();
  }
  const rows = measurements.map(judge);
  process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : `${formatTable(rows)}\n`);
  for (const { name, bound } of rows.filter(({ ok }) => !ok)) say(`missed: ${name} (bound ${String(bound)})`);
  for (const failure of failures) say(failure);
  return failures.length === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
