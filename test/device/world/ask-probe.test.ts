import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { CompiledProbe } from '../../../src/device/pod/index.ts';
import { usualRules } from '../../../src/device/pod/index.ts';
import type { Systemd } from '../../../src/device/systemd/index.ts';
import { askProbe } from '../../../src/device/world/ask-probe.ts';
import { watchProbation } from '../../../src/device/world/watch-probation.ts';
import { PodWatch } from '../../../src/device/world/pod-watch.ts';
import { ProbeWatch } from '../../../src/device/world/probe-watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { deployedPod } from '../../support/world-model.ts';

const pod = deployedPod('web');
const program: CompiledProbe = {
  ask: { kind: 'exec', unit: 'wherry-probe-web.service', directory: '/run/app' },
  rules: usualRules,
};

/** Probes with a program whose unit ends with `result` and leaves `files`. */
const askProgram = (result: string, files: Readonly<Record<string, string>> = {}) => {
  const systemd: Partial<Systemd> = { run: () => Promise.resolve(result) };
  return askProbe(program, pod, {
    systemd: systemd as Systemd,
    readAddresses: () => [],
    readFile: (path) => files[path.replace('/run/app/', '')],
  });
};
const crunLog = '{"msg":"executable file `/bin/check` not found in $PATH","level":"error"}\n';

describe('a probe by a program', () => {
  it.each([
    ['that ends well', 'done', { 'probe.answer': '0\n' }, true, 'exit status 0'],
    ['that fails', 'done', { 'probe.answer': '3\n', 'probe.log': '' }, false, 'exit status 3'],
    [
      'that is not in the image',
      ...(['done', { 'probe.answer': '1\n', 'probe.log': crunLog }, false] as const),
      'its program was not run: executable file `/bin/check` not found in $PATH',
    ],
    ['that takes too long', 'timeout', {}, false, 'no answer within 5 s'],
    ['of an app that has ended', 'exit-code', {}, false, 'its program could not be run (exit-code)'],
    ['whose app ended meanwhile', 'done', {}, false, 'its program could not be run (done)'],
  ] as const)('%s is told by its unit and its files', async (_name, result, files, ok, detail) => {
    expect(await askProgram(result, files)).toEqual({ ok, detail });
  });
});

describe('a probe by a connection', () => {
  it('goes to the address of the pod in its network', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const probe: CompiledProbe = {
      ...{ ask: { kind: 'tcp', port }, rules: { ...usualRules, timeoutSeconds: 250 } },
    };
    const ports = { systemd: {} as Systemd, readFile: () => undefined };
    const asked = (network: string | undefined, addresses: readonly string[]) =>
      askProbe(
        probe,
        { ...pod, ...(network === undefined ? {} : { network }) },
        {
          ...ports,
          readAddresses: () => addresses,
        },
      );
    expect(await asked(undefined, [])).toMatchObject({ ok: true });
    expect(await asked('bridge', ['127.0.0.1'])).toMatchObject({ ok: true });
    expect(await asked('bridge', [])).toEqual({
      ok: false,
      detail: 'the pod has no address in the network bridge',
    });
    await new Promise((done) => server.close(done));
  });
});

describe('a probation', () => {
  it('whose app never passes its probe is refused with the result of the last one [C132]', async () => {
    const probed = {
      ...pod,
      services: pod.services.map((service) => ({
        ...service,
        probe: { ...program, rules: { ...usualRules, startPeriodSeconds: 0 } },
      })),
    };
    const systemd: Partial<Systemd> = {
      status: (name) =>
        Promise.resolve({
          name,
          activeState: 'active',
          subState: 'running',
          mainPid: 1,
        }),
      watch: () => () => undefined,
    };
    const clock = new FakeClock();
    const base = { systemd: systemd as Systemd, clock, journal: { log: () => undefined } };
    const probes = new ProbeWatch({ ...base, ask: () => Promise.resolve({ ok: false, detail: 'HTTP 500' }) });
    const watch = new PodWatch({
      ...{ systemd: base.systemd, probes },
      readCgroupFile: () => undefined,
      readAddresses: () => [],
    });
    watch.follow([probed]);
    const judged = watchProbation(
      [probed],
      { seconds: 10 },
      {
        clock,
        watch,
        broker: { connected: () => true, reach: () => Promise.resolve(true), bootSpreadMs: 0 },
      },
      new AbortController().signal,
    );
    const refused = expect(judged).rejects.toMatchObject({
      code: 'probe-failed',
      message: expect.stringMatching(/^app main of pod .+ does not pass its probe: HTTP 500$/) as string,
    });
    await clock.pass(10_000);
    await refused;
    watch.follow([]);
  });
});
