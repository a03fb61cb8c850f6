import { createInterface } from 'node:readline';
import type { Board } from '../board-types.ts';
import type { HostSide } from './host-side.ts';
import type { Steps } from './steps.ts';

export interface PromptParts {
  readonly board: Board;
  readonly host: HostSide;
  readonly steps: Steps;
  readonly url: string;
}

interface PromptCommand {
  readonly help: string;
  readonly run: (parts: PromptParts) => Promise<void>;
}

/** The commands that a user may try while the board runs. */
const commands: Readonly<Record<string, PromptCommand>> = {
  status: {
    help: 'what the device reports',
    run: ({ host, steps }) => {
      const report = host.link.view(host.device).report;
      steps.line(report === undefined ? 'no report yet' : describeReport(report));
      return Promise.resolve();
    },
  },
  logs: {
    help: "the last lines of the pod and of wherryd, from the board's journal",
    run: async ({ board, steps }) => {
      steps.line(await board.journal('-n 20 -o short WHERRY_POD=web + _SYSTEMD_UNIT=wherryd.service'));
    },
  },
  deploy: {
    help: 'build, sign and deploy a second version',
    run: async ({ host, steps }) => {
      const image = await host.buildImage(`1.0.${Date.now() % 100_000}`);
      await follow(host, steps, () => host.deploy(image, (progress) => steps.line(`  ${progress.phase}`)));
    },
  },
  rollback: {
    help: 'run the first version again, as a new command',
    run: async ({ host, steps }) => {
      const first = `${host.fleet.path}/nginx-1.0.0.aci`;
      await follow(host, steps, () => host.deploy(first, (progress) => steps.line(`  ${progress.phase}`)));
    },
  },
  'pull-the-plug': {
    help: 'cut the power of the board, and switch it on again',
    run: async ({ board, steps }) => {
      await board.powerCut();
      steps.line('the power is off; unflushed writes are lost. Switching on again …');
      await board.bootAgain();
      await board.waitFor("systemctl is-active 'wherry-pod-web.*.service'", undefined, 180_000);
      steps.line('the pod runs: systemd has started it, wherryd or not.');
    },
  },
  page: {
    help: 'fetch the page',
    run: async ({ url, steps }) => steps.line((await (await fetch(url)).text()).trim()),
  },
};

/** Reads commands until the input ends, `quit`, or Ctrl-C. */
export async function prompt(parts: PromptParts): Promise<void> {
  const { steps, host, url } = parts;
  steps.line('');
  steps.line(`The page is at ${url}. Try:`);
  for (const [name, { help }] of Object.entries(commands)) steps.line(`  ${name.padEnd(14)} ${help}`);
  steps.line(`  ${'quit'.padEnd(14)} or Ctrl-C: stop the board and the servers`);
  steps.line(`or, in another terminal: npm run wherry -- --fleet ${host.fleet.path} status --watch`);
  const input = createInterface({ input: process.stdin, output: process.stderr, prompt: 'wherry> ' });
  input.prompt();
  const left = new Promise<void>((resolve) => {
    input.once('close', resolve);
    process.once('SIGTERM', resolve);
  });
  let working = Promise.resolve();
  input.on('line', (line) => {
    const name = line.trim();
    if (name === 'quit' || name === 'exit') {
      input.close();
      return;
    }
    const command = commands[name];
    working = working
      .then(async () => {
        if (command !== undefined) await command.run(parts);
        else if (name !== '') steps.line(`there is no command ${name}`);
      })
      .catch((error: unknown) => steps.line(error instanceof Error ? error.message : String(error)))
      .finally(() => input.prompt());
  });
  await left;
}

async function follow(
  host: HostSide,
  steps: Steps,
  work: () => ReturnType<HostSide['deploy']>,
): Promise<void> {
  const outcome = await work();
  steps.line(
    outcome.phase === 'committed' ? 'committed' : `${outcome.phase}: ${outcome.message} (${outcome.code})`,
  );
}

type Report = NonNullable<ReturnType<HostSide['link']['view']>['report']>;

/** The report in a few lines. */
export function describeReport(report: Report): string {
  const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  /** Without the memory controller the device does not report memory. */
  const memory = ({ memoryBytes, memoryMaxBytes }: Report['pods'][number]['apps'][number]): string =>
    memoryBytes === undefined
      ? 'memory not counted'
      : `memory ${mebibytes(memoryBytes)} of ${memoryMaxBytes === undefined ? 'no limit' : mebibytes(memoryMaxBytes)}`;
  const apps = report.pods.flatMap((pod) =>
    pod.apps.map(
      (app) =>
        `  ${pod.name}/${app.name} ${pod.healthy ? 'healthy' : 'not healthy'}, ${app.state}, process ${app.pid ?? '-'}, ` +
        `${memory(app)}, ${app.tasks === undefined ? 'tasks not counted' : `${app.tasks} tasks`}, ${app.restarts} restarts`,
    ),
  );
  return [`version ${report.currentVersion} on ${report.device}`, ...apps].join('\n');
}
