import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheRoot } from '../../cross/index.ts';
import { startBoard, type Board } from '../../qemu/index.ts';
import { oneBoard } from './board-choice.ts';

describe.each(oneBoard)('two boards of %s at once', (name) => {
  let one: Board;
  let two: Board;
  beforeAll(async () => {
    [one, two] = await Promise.all([
      startBoard({ board: name, powerLoss: true }),
      startBoard({ board: name }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([one.stop(), two.stop()]);
  });

  it('have independent units of the same name', async () => {
    const start = 'systemd-run --unit=same --quiet sleep 600 && systemctl show -P MainPID same';
    await Promise.all([one.check(start), two.check(start)]);
    await one.check('systemctl stop same');
    expect((await two.check('systemctl is-active same')).trim()).toBe('active');
  });

  it('have files, ports and names of their own', async () => {
    await one.check('echo one >/root/mark; echo one >/var/mark');
    expect((await two.run('cat /root/mark /var/mark')).status).not.toBe(0);
    for (const board of [one, two]) {
      await board.check(`mkdir -p /run/www && busybox httpd -p 8080 -h /run/www`);
      await board.copyIn(Buffer.from(board === one ? 'one' : 'two'), '/run/www/index.html');
    }
    const pages = [one, two].map(async (board) => {
      const port = await board.forward(8080);
      return await (await fetch(`http://127.0.0.1:${port}/`)).text();
    });
    expect(await Promise.all(pages)).toEqual(['one', 'two']);
  });

  it('lose their network and their power separately', async () => {
    await one.cutNetwork();
    const carrier = 'cat /sys/class/net/eth0/carrier';
    await one.waitFor(carrier, ({ stdout }) => stdout === '0\n');
    expect(await two.check(carrier)).toBe('1\n');
    await one.powerCut();
    expect((await two.check('systemctl is-active same')).trim()).toBe('active');
  });
});

/** Starts a board in a separate process, which prints a line once the board runs and then waits. */
const holder = (name: string): string => `
  import { startBoard } from '${join(import.meta.dirname, '../../qemu/index.ts')}';
  const board = await startBoard({ board: '${name}' });
  await board.check('true');
  console.log('runs');
  setInterval(() => undefined, 1000);
`;

describe.each(oneBoard)('a board of %s whose test is killed', (name) => {
  it('leaves no process, no mount, no control group and no file', async () => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', holder(name)],
      { stdio: ['ignore', 'pipe', 'inherit'], cwd: join(import.meta.dirname, '../..') },
    );
    await new Promise<void>((runs, fail) => {
      child.stdout.once('data', () => runs());
      child.once('exit', () => fail(new Error('the board did not start')));
    });
    const { pid = 0 } = child;
    const left = (): string[] => [
      ...readdirSync(cacheRoot()).filter((entry) => entry.startsWith(`run.${pid}.`)),
      ...groups().filter((entry) => entry.includes(`.${pid}.`)),
      ...readFileSync('/proc/mounts', 'utf8')
        .split('\n')
        .filter((line) => line.includes(`run.${pid}.`)),
      ...commandLines().filter((line) => line.includes(`run.${pid}.`)),
    ];
    expect(left()).not.toEqual([]);
    const ended = new Promise((done) => child.once('close', done));
    child.kill('SIGKILL');
    await ended;
    await expect.poll(left).toEqual([]);
  });
});

function groups(): string[] {
  const places = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/system.slice'];
  return places.filter((place) => existsSync(place)).flatMap((place) => readdirSync(place));
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => {
      try {
        return readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // the process has ended meanwhile
      }
    });
}
