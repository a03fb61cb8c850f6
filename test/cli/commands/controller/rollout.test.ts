import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import Database from 'libsql';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../../qemu/free-port.ts';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { startImageServer, type ImageServer } from '../../../../src/operator/dev/image-server.ts';
import type { DesiredState } from '../../../../src/wire/trust/index.ts';
import { main } from '../../../../src/cli/main.ts';
import { hasPostgres, postgresServer } from '../../../support/postgres.ts';
import { FakeDevice, type FakeDeviceOptions } from '../../../support/fake-device.ts';
import { recordingTerminal, wherry, type Run } from '../../../support/recording-terminal.ts';
import { until } from '../../../support/system-clock.ts';

let directory: string;
let broker: EmbeddedBroker;
let images: ImageServer;
const devices = new Map<string, FakeDevice>();

const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const rollout = (...args: string[]): Promise<Run> => run('rollout', ...args);
const good = () => ['--run', `web=${at('web-1.0.aci')}`];
const bad = () => ['--run', `web=${at('web-2.0.aci')}`];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-rollout-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await mkdir(at('fleet/images'), { recursive: true });
  images = await startImageServer({ directory: at('fleet/images'), host: '127.0.0.1', port: 0 });
  await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', images.url);
  await mkdir(at('root/bin'), { recursive: true });
  await writeFile(at('root/bin/web'), '#!/bin/sh\n');
  await chmod(at('root/bin/web'), 0o755);
  for (const version of ['1.0', '2.0']) {
    const labels = ['--name', 'example.com/web', '--label', `version=${version}`];
    const made = ['--exec', '/bin/web', '-o', at(`web-${version}.aci`), '--sign'];
    expect(await run('image', 'build', at('root'), ...labels, ...made)).toMatchObject({ status: 0 });
  }
});

afterEach(async () => {
  for (const device of devices.values()) await device.close();
  devices.clear();
});

afterAll(async () => {
  await images.close();
  await broker.close();
  await rm(directory, { recursive: true });
});

/** Whether the command is for the bad image of this file. */
const isBad = (desired: DesiredState): boolean =>
  desired.images.some(({ labels }) => labels.some(({ value }) => value === '2.0'));

let fleets = 0;
/** Devices with unique names, which fail the bad image. */
function someDevices(count: number, options: Partial<FakeDeviceOptions> = {}): readonly string[] {
  fleets += 1;
  const names = Array.from({ length: count }, (_, index) => `crane-${fleets}-${index}`);
  const decide = (desired: DesiredState) =>
    isBad(desired) ? { code: 'probation-failed', message: 'web ended' } : undefined;
  for (const device of names) {
    devices.set(
      device,
      new FakeDevice({ url: broker.url, fleet: 'harbour', device, decide, ...options }).start(),
    );
  }
  return names;
}

/** The labels of the images in a device's commands, in order. */
const obeyed = (name: string): string[] =>
  (devices.get(name)?.obeyed ?? []).map(
    ({ images: [image] }) => image?.labels.find((label) => label.name === 'version')?.value ?? 'none',
  );

/** Whether the last line about the database reports its loss. */
const hasLost = (text: string): boolean =>
  text.lastIndexOf('the rollout goes on when it is back') > text.lastIndexOf('the rollout continues');

describe('wherry rollout', () => {
  it('requires a list of devices if the broker reports none', async () => {
    const refused = await rollout('start', '--all', '--id', 'none', ...good());
    expect(refused).toMatchObject({
      status: 64,
      err: expect.stringContaining('--devices-from FILE') as string,
    });
  });

  it('[C300] is refused before anything is offered or signed when its ID or a device is taken', async () => {
    const [first = '', second = ''] = someDevices(2);
    const stored = await rollout('start', first, '--id', 'taken', '--no-wait', ...good());
    expect(stored).toMatchObject({ status: 0, err: expect.stringContaining('signed for 1 of 1') as string });
    const offered = await readdir(at('fleet/images'));
    for (const [device, id, words] of [
      [second, 'taken', 'there is a rollout taken already'],
      [first, 'free', `${first} is in the rollout taken`],
    ] as const) {
      const refused = await rollout('start', device, '--id', id, '--no-wait', ...bad());
      expect(refused).toMatchObject({ status: 64, err: expect.stringContaining(words) as string });
      expect(refused.err).not.toContain('signed for');
    }
    expect(await readdir(at('fleet/images'))).toEqual(offered);
    expect(await rollout('halt', 'taken')).toMatchObject({ status: 0 });
  });

  it('deploys a version to every device, one wave after the other', async () => {
    const names = someDevices(6);
    const done = await rollout(
      'start',
      ...names,
      '--id',
      'spring',
      ...good(),
      '--stage',
      '1',
      '--stage',
      '50%',
    );
    expect(done).toMatchObject({ status: 0, out: 'spring  complete\n' });
    expect(done.err).toMatch(/wave 1 of 3 .*wave 2 of 3 .*wave 3 of 3/s);
    expect(names.map(obeyed)).toEqual(names.map(() => ['1.0']));
    const shown = JSON.parse((await rollout('show', 'spring', '--json')).out) as object;
    expect(shown).toMatchObject({
      phase: 'complete',
      waves: [
        { size: 1, good: 1 },
        { size: 2, good: 2 },
        { size: 3, good: 3 },
      ],
    });
    expect((await rollout('show', 'spring')).out).toMatch(/stages 1, 50%; .*100 % must commit/);
    expect((await rollout('list')).out).toMatch(/spring .* complete +6 +6 +6 +0/);
    // The rollout in "wherry status" and "wherry rollback".
    expect((await run('status', ...names)).out).not.toContain('broker');
    expect((await run('rollback', names[0] ?? '')).err).toContain('there is no earlier version');
  });

  it('halts in the wave that fails, and is undone', async () => {
    const names = someDevices(8);
    expect(await rollout('start', ...names, '--id', 'first', ...good(), '--stage', 'all')).toMatchObject({
      status: 0,
    });
    const stages = ['--stage', `device:${names[3] ?? ''},${names[5] ?? ''}`, '--stage', '50%'];
    const halted = await rollout('start', ...names, '--id', 'broken', ...bad(), ...stages);
    expect(halted.status).toBe(65);
    expect(halted.err).toMatch(
      /the rollout broken is halted: \d of 2 devices of wave 1 failed \(\d probation-failed\); at most 0 may; see/,
    );
    const touched = names.filter((name) => obeyed(name).includes('2.0'));
    expect(touched).toEqual([names[3], names[5]]);
    // It halts at the first of the two answers.
    expect((await rollout('show', 'broken')).out).toMatch(
      new RegExp(`(${touched.join('|')})  wave 1  version 1 → 2  refused \\(probation-failed\\): web ended`),
    );

    const undone = await rollout('undo', 'broken', '--json');
    expect(undone.status).toBe(0);
    expect(JSON.parse(undone.out)).toMatchObject({ phase: 'undone', undone: 2 });
    for (const name of names)
      expect(obeyed(name)).toEqual(touched.includes(name) ? ['1.0', '2.0', '1.0'] : ['1.0']);
  });

  it('continues with more failures if a person allows them', async () => {
    const names = someDevices(4);
    const failing = names[1] ?? '';
    await devices.get(failing)?.close();
    devices.set(
      failing,
      new FakeDevice({
        url: broker.url,
        fleet: 'harbour',
        device: failing,
        decide: () => ({ code: 'no-space', message: 'the disk is full' }),
      }).start(),
    );
    const first = await rollout(
      'start',
      ...names,
      '--id',
      'lenient',
      ...good(),
      '--stage',
      `device:${failing}`,
    );
    expect(first.status).toBe(70);
    expect(first.err).toContain('1 of 1 devices of wave 1 failed (1 no-space)');
    // The same limits halt it again at once.
    expect(await rollout('resume', 'lenient')).toMatchObject({ status: 70 });
    const resumed = await rollout('resume', 'lenient', '--errors', '100', '--success', '0');
    expect(resumed).toMatchObject({ status: 0, out: 'lenient  complete\n' });
  });

  it('waits for people: pause, resume, approve, halt', async () => {
    const names = someDevices(3);
    const started = ['start', ...names, '--id', 'gated', ...good(), '--stage', '1', '--approve', '--no-wait'];
    expect(await rollout(...started)).toMatchObject({
      status: 0,
      out: 'gated  3 devices  stored; next: wherry rollout watch gated\n',
    });
    expect(await rollout('pause', 'gated', '--reason', 'lunch')).toMatchObject({
      status: 0,
      out: 'gated  paused\n',
    });
    const { terminal, err } = recordingTerminal();
    const watching = main(['--fleet', at('fleet'), 'rollout', 'watch', 'gated'], {}, terminal);
    await until(() => err().includes('paused; continue with "wherry rollout resume gated"'));
    expect(names.flatMap(obeyed)).toEqual([]);
    expect(await rollout('resume', 'gated', '--no-wait')).toMatchObject({ status: 0 });
    await until(() => err().includes('wave 2 awaits "wherry rollout approve gated"'));
    expect(names.flatMap(obeyed)).toEqual(['1.0']);
    expect((await rollout('approve', 'gated')).out).toBe('gated  wave 2 may begin\n');
    expect(await watching).toBe(0);
    expect(names.flatMap(obeyed)).toEqual(['1.0', '1.0', '1.0']);
    const late = await rollout('halt', 'gated');
    expect(late).toMatchObject({ status: 64 });
    expect(late.err).toContain(
      'the rollout gated is complete; halt is for one that is running, paused or undoing',
    );
  });

  it('leaves a device alone that another person commands', async () => {
    const names = someDevices(3);
    const stages = ['--stage', `device:${names[0] ?? ''}`, '--approve', '--no-wait'];
    expect(await rollout('start', ...names, '--id', 'polite', ...good(), ...stages)).toMatchObject({
      status: 0,
    });
    expect(await run('deploy', names[2] ?? '', ...bad(), '--timeout', '250')).toMatchObject({ status: 65 });
    const { terminal, err } = recordingTerminal();
    const watching = main(['--fleet', at('fleet'), 'rollout', 'watch', 'polite'], {}, terminal);
    await until(() => err().includes('awaits "wherry rollout approve'));
    await rollout('approve', 'polite');
    expect(await watching).toBe(0);
    expect(obeyed(names[1] ?? '')).toEqual(['1.0']);
    expect(obeyed(names[2] ?? '')).toEqual(['2.0']);
    expect((await rollout('show', 'polite')).out).toMatch(/^2 +2 +1 +1 +0 +0 +1$/m);
  });

  it('soaks once more when the clock of its controller was ahead [C309]', async () => {
    const names = someDevices(2);
    const stages = ['--stage', '1', '--stage', 'all', '--soak', '1s', '--approve', '--no-wait'];
    expect(await rollout('start', ...names, '--id', 'ahead', ...good(), ...stages)).toMatchObject({
      status: 0,
    });
    const { terminal, err, stop } = recordingTerminal();
    const watching = main(['--fleet', at('fleet'), 'rollout', 'watch', 'ahead'], {}, terminal);
    await until(() => err().includes('awaits "wherry rollout approve'));
    stop();
    await watching;
    const database = new Database(at('fleet/rollouts.db'));
    const tenYearsMs = 10 * 365 * 86_400_000;
    database.exec(
      `UPDATE wherry_members SET sent = sent + ${tenYearsMs}, answered = answered + ${tenYearsMs} WHERE rollout = 'ahead'`,
    );
    database.close();
    await rollout('approve', 'ahead');
    expect(await rollout('watch', 'ahead')).toMatchObject({ status: 0, out: 'ahead  complete\n' });
    expect(names.flatMap(obeyed)).toEqual(['1.0', '1.0']);
  });

  it('resumes where it was when its process was killed', async () => {
    const names = someDevices(6);
    const id = `killed-${names[0]}`;
    const stages = ['--stage', '2', '--stage', '4', '--soak', '4s', '--no-wait'];
    expect(await rollout('start', ...names, '--id', id, ...good(), ...stages)).toMatchObject({
      status: 0,
    });
    const wherryCli = resolve(import.meta.dirname, '../../../../src/cli/wherry.ts');
    const args = ['--import', 'tsx', wherryCli, '--fleet', at('fleet'), 'rollout', 'watch', id];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(child, 'exit');
    const early = ended.then(() => Promise.reject(new Error(`it ended before it was killed: ${said}`)));
    // As soon as one device of the first wave has its command.
    await Promise.race([until(() => names.flatMap(obeyed).length > 0), early]);
    early.catch(() => undefined);
    child.kill('SIGKILL');
    await ended;
    expect(names.flatMap(obeyed).length).toBeLessThan(6);
    expect(await rollout('watch', id)).toMatchObject({ status: 0, out: `${id}  complete\n` });
    expect(names.map(obeyed)).toEqual(names.map(() => ['1.0']));
  });

  it.skipIf(!hasPostgres)('is carried out by two controllers that share PostgreSQL', async () => {
    const server = postgresServer();
    try {
      await server.start();
      const names = someDevices(8);
      const database = ['--database', server.url];
      const stages = ['--stage', '1', '--stage', '25%', '--stage', '50%', '--no-wait'];
      expect(
        await rollout('start', ...names, '--id', 'shared', ...good(), ...stages, ...database),
      ).toMatchObject({
        status: 0,
      });
      const both = await Promise.all([1, 2].map(() => rollout('watch', 'shared', ...database)));
      expect(both).toMatchObject([
        { status: 0, out: 'shared  complete\n' },
        { status: 0, out: 'shared  complete\n' },
      ]);
      expect(names.map(obeyed)).toEqual(names.map(() => ['1.0']));
    } finally {
      await server.remove();
    }
  });

  it.skipIf(!hasPostgres)('goes on when PostgreSQL is back that was killed [C361]', async () => {
    const server = postgresServer();
    try {
      await server.start();
      const names = someDevices(12);
      const database = ['--database', server.url];
      const stages = ['--stage', '1', '--stage', '2', '--stage', '4', '--stage', '8', '--no-wait'];
      const begun = await rollout('start', ...names, '--id', 'killed', ...good(), ...stages, ...database);
      expect(begun).toMatchObject({ status: 0 });
      const watching = [1, 2].map(() => {
        const { terminal, err } = recordingTerminal();
        const args = ['--fleet', at('fleet'), 'rollout', 'watch', 'killed', ...database];
        const watched = { err, isOver: false, ended: main(args, {}, terminal) };
        void watched.ended.then(() => (watched.isOver = true));
        return watched;
      });
      const sum = (): number => names.flatMap(obeyed).length;
      for (const some of [1, 4]) {
        await until(() => sum() >= some);
        await server.crash();
        await Promise.all(watching.map((one) => until(() => one.isOver || hasLost(one.err()))));
        await server.start();
        await Promise.all(watching.map((one) => until(() => one.isOver || !hasLost(one.err()))));
      }
      expect(await Promise.all(watching.map(({ ended }) => ended))).toEqual([0, 0]);
      expect(names.map(obeyed)).toEqual(names.map(() => ['1.0']));
    } finally {
      await server.remove();
    }
  });

  it('continues when its database is back', async () => {
    const names = someDevices(2);
    const stages = ['--stage', '1', '--approve', '--no-wait', '--database', at('away.db')];
    expect(await rollout('start', ...names, '--id', 'away', ...good(), ...stages)).toMatchObject({
      status: 0,
    });
    const { terminal, err } = recordingTerminal();
    const watching = main(
      ['--fleet', at('fleet'), 'rollout', 'watch', 'away', '--database', at('away.db')],
      {},
      terminal,
    );
    await until(() => err().includes('wave 2 awaits'));
    await rename(at('away.db'), at('elsewhere.db'));
    await until(() => err().includes('away.db is not there; restore the file'));
    await rename(at('elsewhere.db'), at('away.db'));
    await until(() => err().includes('the rollout continues\n'));
    await rollout('approve', 'away', '--database', at('away.db'));
    expect(await watching).toBe(0);
    expect(names.map(obeyed)).toEqual([['1.0'], ['1.0']]);
  });

  it('goes on with its undo when that was halted [C360]', async () => {
    const [near = '', far = ''] = someDevices(2);
    await rollout('start', near, far, '--id', 'back', ...good(), '--stage', 'all');
    await devices.get(far)?.close();
    const { terminal, err } = recordingTerminal();
    const watching = main(['--fleet', at('fleet'), 'rollout', 'undo', 'back'], {}, terminal);
    await until(() => err().includes('undo  2 of 2 sent') && devices.get(near)?.obeyed.length === 2);
    await rollout('halt', 'back', '--reason', 'lunch');
    expect(await watching).toBe(75);
    const shown = (await rollout('show', 'back')).out;
    expect(shown).toMatch(/^undo: 2 of 2 sent: [01] back, 0 failed, [12] waiting$/m);
    expect(shown).toMatch(new RegExp(`^${far} .*; undo: no answer seen$`, 'm'));
    expect((await rollout('resume', 'back', '--no-wait')).out).toBe('back  undoing\n');
    devices.set(far, new FakeDevice({ url: broker.url, fleet: 'harbour', device: far }).start());
    expect(await rollout('watch', 'back')).toMatchObject({ status: 0, out: 'back  undone\n' });
    expect(await rollout('halt', 'back', '--reason', 'a\u001b[31m')).toMatchObject({ status: 64 });
  });

  it('ends when a later wherry has migrated its database [C356]', async () => {
    const names = someDevices(2);
    const stages = ['--stage', '1', '--approve', '--no-wait', '--database', at('later.db')];
    await rollout('start', ...names, '--id', 'later', ...good(), ...stages);
    const { terminal, err } = recordingTerminal();
    const args = ['--fleet', at('fleet'), 'rollout', 'watch', 'later', '--database', at('later.db')];
    const watching = main(args, {}, terminal);
    await until(() => err().includes('wave 2 awaits'));
    const database = new Database(at('later.db'));
    database.exec('UPDATE wherry_schema SET version = 99');
    expect(await watching).toBe(69);
    expect(err()).toContain('is of a later version of wherry (schema 99;');
    expect(database.prepare('SELECT count(sent) AS sent FROM wherry_members').get()).toMatchObject({
      sent: 1,
    });
    database.close();
  });

  it('is watched on two machines, and one has no copy of the commands of the other', async () => {
    const names = someDevices(2);
    const stages = ['--stage', '1', '--stage', 'all', '--no-wait'];
    expect(await rollout('start', ...names, '--id', 'twice', ...good(), ...stages)).toMatchObject({
      status: 0,
    });
    expect(await rollout('pause', 'twice')).toMatchObject({ status: 0 });
    await cp(at('fleet'), at('copy'), { recursive: true });
    const watch = ['rollout', 'watch', 'twice', '--database', at('fleet/rollouts.db')];
    const watches = ['fleet', 'copy'].map((fleet) => {
      const { terminal, err } = recordingTerminal();
      return { err, ended: main(['--fleet', at(fleet), ...watch], {}, terminal) };
    });
    await until(() => watches.every(({ err }) => err().includes('paused; continue with')));
    expect(await rollout('resume', 'twice', '--no-wait')).toMatchObject({ status: 0 });
    expect(await Promise.all(watches.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(names.map(obeyed)).toEqual([['1.0'], ['1.0']]);
  });

  it('[C303] reports the loss of its broker once, and its return when it is back', async () => {
    const port = await freePort();
    const own = await startEmbeddedBroker({ host: '127.0.0.1', port });
    const fleet = ['--fleet', at('lost')];
    await wherry([...fleet, 'fleet', 'init', 'harbour', '--broker', own.url]);
    const stored = ['--id', 'lost', '--no-wait', '--no-undo', '--stop-all'];
    expect(await wherry([...fleet, 'rollout', 'start', 'crane-1', ...stored])).toMatchObject({ status: 0 });
    expect(await wherry([...fleet, 'rollout', 'pause', 'lost'])).toMatchObject({ status: 0 });
    const { terminal, err, stop } = recordingTerminal();
    const watching = main([...fleet, 'rollout', 'watch', 'lost'], {}, terminal);
    await until(() => err().includes('paused; continue with'));
    await own.close();
    let attempts = 0;
    const deaf = createServer((socket) => {
      attempts += 1;
      socket.destroy();
    });
    await once(deaf.listen(port, '127.0.0.1'), 'listening');
    await until(() => attempts >= 3);
    expect(err()).not.toContain('the rollout continues');
    deaf.close();
    const back = await startEmbeddedBroker({ host: '127.0.0.1', port });
    await until(() => err().includes('the rollout continues'));
    stop();
    await watching;
    await back.close();
    expect(err().match(/the broker is gone/g)).toHaveLength(1);
    expect(err().match(/the rollout continues/g)).toHaveLength(1);
  });

  it('refuses what it could not undo, invalid stages and unknown devices', async () => {
    const [name = ''] = someDevices(1, { running: 7 });
    while ((await run('status', name)).status !== 0);
    const start = (...args: string[]) => rollout('start', ...args, ...good());
    const unknown = await start('crane-new', name, '--stage', 'device:crane-new');
    expect(unknown).toMatchObject({ status: 64 });
    expect(unknown.err).not.toContain('signed for');
    expect(unknown.err).toMatch(/runs version 7, which is not in this fleet directory, .* use --no-undo/);
    expect((await start(name, '--stage', 'half')).err).toContain('"half" is not a stage');
    expect((await start()).err).toContain('name the devices, or give one of --all and --devices-from');
    expect((await start(name, '--id', 'A B')).err).toContain('--id takes lower-case words');
    expect((await start(name, '--soak', 'long')).err).toMatch(/it takes a time such as 90s, 15m, 2h or 1d/);
    expect((await rollout('watch', 'nowhere')).err).toContain(
      'there is no rollout nowhere; see "wherry rollout list"',
    );
    const plain = await start(name, '--no-undo', '--id', 'one-way');
    expect(plain).toMatchObject({ status: 0 });
    expect((await rollout('undo', 'one-way')).err).toContain('was started with --no-undo');
  });
});

describe('wherry rollout while the broker is away', () => {
  const away = (...args: string[]): Promise<Run> =>
    wherry(['--fleet', at('away'), 'rollout', ...args, '--database', database()]);
  // Paths on the command line are relative to the current directory.
  const database = () => relative(process.cwd(), at('fleet/rollouts.db'));

  beforeAll(async () => {
    await wherry(['--fleet', at('away'), 'fleet', 'init', 'harbour', '--broker', 'mqtt://127.0.0.1:9']);
    const stored = ['--id', 'stored', '--no-wait', '--no-undo', ...good()];
    expect(await rollout('start', 'crane-away', ...stored)).toMatchObject({ status: 0 });
    expect(await rollout('halt', 'stored')).toMatchObject({ status: 0 });
  });

  it.each(['watch', 'show', 'pause', 'resume', 'halt', 'undo', 'approve', 'sign'])(
    '[C301] refuses an unknown ID: %s',
    async (command) => {
      expect(await away(command, 'nowhere')).toEqual({
        status: 64,
        out: '',
        err: 'wherry: there is no rollout nowhere; see "wherry rollout list" (not-found)\n',
      });
    },
  );

  it('[C301] quotes an ID that no rollout can have', async () => {
    expect((await away('show', '')).err).toContain('there is no rollout ""; see');
    expect((await away('show', '\u001b[31m')).err).toContain('"\\u001b[31m"');
  });

  it('[C301] refuses an ID that is taken, and a change that its phase does not allow', async () => {
    const taken = await away('start', 'crane-8', '--id', 'stored', '--stop-all');
    expect(taken).toMatchObject({ status: 64, err: expect.stringContaining('already') as string });
    const undone = await away('undo', 'stored');
    expect(undone).toMatchObject({ status: 64, err: expect.stringContaining('--no-undo') as string });
  });

  it('[C301] resumes nothing, so that the same command can be repeated', async () => {
    for (let time = 0; time < 2; time++) {
      const resumed = await away('resume', 'stored');
      expect(resumed).toMatchObject({ status: 69 });
      expect(resumed.err).toContain('(broker-unreachable)');
    }
    expect((await away('show', 'stored')).out).toContain('stored  halted');
    expect(await away('resume', 'stored', '--no-wait')).toMatchObject({
      status: 0,
      out: 'stored  running\n',
    });
  });

  it('[C300] makes no database when it is refused', async () => {
    expect(await wherry(['--fleet', at('away'), 'rollout', 'start', 'crane-9', '--stop-all'])).toMatchObject({
      status: 69,
    });
    expect(await readdir(at('away'))).not.toContain('rollouts.db');
  });
});
