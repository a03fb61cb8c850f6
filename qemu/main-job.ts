import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BuildFailure, buildPackages } from '../cross/index.ts';
import type { Progress } from '../src/operator/fleet/device-view.ts';
import { isRefusal } from '../src/core/refusal/refusal.ts';
import type { DeviceReport } from '../src/wire/report/report.ts';
import { boardNames, loadBoardConfig, PreconditionError, startBoard } from './index.ts';
import { HostSide, pagePort } from './main-job/host-side.ts';
import { describeReport, prompt } from './main-job/prompt.ts';
import { Steps } from './main-job/steps.ts';

const help = `The main job: a signed image, commanded over MQTT, runs as a pod on an emulated ARM board.

  npm start -- [--board NAME] [--once] [--port PORT]

  --board NAME   one of: ${boardNames().join(', ')} (default virt-armv8)
  --once         end when the page was served; the last line on standard output is one JSON object
  --port PORT    port of this machine's 127.0.0.1 for the served page (default: a free one)

Exit status: 0 done, 1 something failed (one sentence says what), 64 wrong arguments.
`;

const root = resolve(import.meta.dirname, '..');

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      board: { type: 'string', default: 'virt-armv8' },
      once: { type: 'boolean', default: false },
      port: { type: 'string', default: '0' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new TypeError('--port takes a number up to 65535.');
  const { config } = loadBoardConfig(values.board);
  await requireFree(port);

  const steps = new Steps();
  const built = await steps.step('packages', `packages for ${config.arch}`, async (tell) =>
    buildPackages({ root, archs: [config.arch], progress: tell }),
  );
  const board = await steps.step('board', `board ${config.name}: ${config.description}`, async (tell) =>
    startBoard({
      board: config.name,
      debs: built.packages.map((made) => made.file),
      powerLoss: true,
      forwards: [{ guest: pagePort, host: port }],
      progress: tell,
    }),
  );
  let host: HostSide | undefined;
  try {
    host = await steps.step('servers', 'broker, image server and keys', () =>
      HostSide.start(`${root}/build/main-job/${config.name}`, config),
    );
    const side = host;
    const image = await steps.step('image', 'image of nginx, built and signed', () =>
      side.buildImage('1.0.0'),
    );
    await steps.step('supervisor', 'wherryd on the board', async () => {
      for (const [path, content] of await side.provisioning()) {
        await board.check(`mkdir -p "$(dirname '${path}')"`);
        await board.copyIn(Buffer.from(content), path);
      }
      await board.check('sync; systemctl restart wherryd', { timeoutMs: 180_000 });
    });
    await steps.step('deployment', 'signed desired state published', async (tell) => {
      const outcome = await side.deploy(image, (progress) => tell(describeProgress(progress)));
      if (outcome.phase !== 'committed')
        throw new Error(`The device answered ${outcome.phase}: ${outcome.message}`);
    });
    const report = await steps.step('health', 'report that the pod is healthy', async () => {
      const healthy = (): DeviceReport | undefined => {
        const latest = side.link.view(side.device).report;
        return latest?.pods.some((pod) => pod.healthy) === true && latest.currentVersion > 0
          ? latest
          : undefined;
      };
      await side.link.until(() => healthy() !== undefined, 120_000);
      const found = healthy();
      if (found === undefined) throw new Error('The device did not report a healthy pod within two minutes.');
      return found;
    });
    const url = `http://127.0.0.1:${board.forwards.get(pagePort) ?? 0}/`;
    await steps.step('page', `page at ${url}`, async () => {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`${url} answered ${answer.status}.`);
    });
    steps.line(describeReport(report));
    if (values.once) {
      process.stdout.write(`${JSON.stringify(summary(config, report, url, steps.seconds))}\n`);
    } else {
      await prompt({ board, host, steps, url });
    }
    return 0;
  } finally {
    await board.stop();
    await host?.close();
  }
}

function describeProgress(progress: Progress): string {
  if (progress.phase !== 'fetch' || progress.totalBytes === undefined) {
    return progress.phase;
  }
  const { receivedBytes = 0, totalBytes } = progress;
  const percent = totalBytes === 0 ? 100 : Math.floor((receivedBytes * 100) / totalBytes);
  return `fetch ${receivedBytes} of ${totalBytes} bytes (${percent} %)`;
}

function summary(
  config: { name: string; arch: string },
  report: DeviceReport,
  url: string,
  seconds: Readonly<Record<string, number>>,
): object {
  const pod = report.pods[0];
  return {
    board: config.name,
    arch: config.arch,
    imageId: pod?.apps[0]?.imageId,
    podUuid: pod?.uuid,
    healthy: pod?.healthy,
    url,
    seconds,
    report,
  };
}

/** Refuses a port that is in use, before anything is started. */
async function requireFree(port: number): Promise<void> {
  if (port === 0) return;
  await new Promise<void>((free, taken) => {
    const server = createServer();
    server.once('error', () =>
      taken(new PreconditionError(`Port ${port} of 127.0.0.1 is taken: give another with --port.`)),
    );
    server.listen(port, '127.0.0.1', () => server.close(() => free()));
  });
}

try {
  process.exit(await main());
} catch (error) {
  const known =
    error instanceof PreconditionError ||
    error instanceof BuildFailure ||
    isRefusal(error) ||
    error instanceof TypeError;
  const sentence = error instanceof Error ? error.message : String(error);
  process.stderr.write(
    `npm start: ${sentence}\n${known || !(error instanceof Error) ? '' : `${error.stack ?? ''}\n`}`,
  );
  process.exit(error instanceof TypeError ? 64 : 1);
}
