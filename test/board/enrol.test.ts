import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../src/operator/dev/embedded-broker.ts';
import { wherry } from '../support/recording-terminal.ts';
import { oneBoard } from './board-choice.ts';
import { Scene } from './scene.ts';

/** A bundle makes the board another device of another fleet. */
describe.each(oneBoard)('on %s', (boardName) => {
  let scene: Scene;
  let directory: string;
  let broker: EmbeddedBroker;
  const operator = (...args: string[]) => wherry(['--fleet', join(directory, 'fleet'), ...args]);
  const keys = 'ls /var/lib/wherry/device-key.* 2>/dev/null | wc -l';
  const bundle = '/root/crane-7.enrol';

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wherry-enrol-'));
    broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
    scene = await Scene.start(boardName);
    await scene.report(() => true);
    const url = broker.url.replace('127.0.0.1', '10.0.2.2');
    await operator('fleet', 'init', 'harbour', '--broker', url);
    const made = await operator(
      'fleet',
      'enrol',
      'crane-7',
      '--group',
      'kitchen',
      '-o',
      join(directory, 'bundle'),
    );
    expect(made).toMatchObject({ status: 0, err: '' });
    await scene.board.copyIn(await readFile(join(directory, 'bundle')), bundle);
    // The broker has a different address here than on the board.
    const toml = join(directory, 'fleet/fleet.toml');
    await writeFile(toml, (await readFile(toml, 'utf8')).replace(url, broker.url));
  });

  afterAll(async () => {
    await scene.stop();
    await broker.close();
    await rm(directory, { recursive: true });
  });

  it('[C179] refuses a board that is already a device, and creates no key for it', async () => {
    const { status, stderr } = await scene.board.run(`wherry enrol ${bundle}`);
    expect(status).toBe(64);
    expect(stderr).toContain('this device is enrolled already');
    expect((await scene.board.check(keys)).trim()).toBe('0');
  });

  it('[C282] adds no lock and approves nothing before it is a device', async () => {
    await scene.board.check('systemctl stop wherryd; rm -rf /etc/wherry /var/lib/wherry/state-*');
    for (const command of ['approve 3', 'approve 3 --group kitchen', 'lock add a --reason b --for 60']) {
      const { status, stdout, stderr } = await scene.board.run(`wherry ${command}`);
      expect({ status, stdout }, command).toEqual({ status: 70, stdout: '' });
      expect(stderr).toContain('there is no /etc/wherry/wherry.toml here; run this on a device');
    }
    const written =
      'ls /run/wherry/approvals /run/wherry/locks /var/lib/wherry/locks 2>/dev/null | grep -v :';
    expect((await scene.board.run(written)).stdout.trim()).toBe('');
  });

  it('[C179] becomes the device of the bundle, with a key of its own', async () => {
    const enrolled = await scene.board.run(`wherry enrol ${bundle}`);
    expect(enrolled).toMatchObject({ status: 0, stderr: '' });
    expect(enrolled.stdout).toContain('is crane-7 of fleet harbour');
    expect((await scene.board.check(keys)).trim()).toBe('2');
    const before = await scene.board.check('wherry key show');
    expect(await scene.board.check(`wherry enrol ${bundle}`)).toContain('already, with these very files');
    expect(await scene.board.check('wherry key show')).toBe(before);
    await scene.board.check('systemctl start wherryd');
    // The operator of the new fleet sees it in its group.
    const isThere = async (): Promise<boolean> => {
      const seen = await operator('--json', 'fleet', 'devices', '--group', 'kitchen', '--link', 'up');
      return seen.out.includes('"crane-7"');
    };
    await scene.board.check('systemctl is-active wherryd');
    // The first connection comes within boot_spread_seconds.
    await expect.poll(isThere).toBe(true);
  });

  it('[C179] creates its key at the first boot of a tree', async () => {
    await scene.board.check('rm -r /etc/wherry /var/lib/wherry/device-key.*; mkdir -p /tree');
    await scene.board.check(
      `wherry enrol ${bundle} --root /tree && cp -a /tree/. / && systemctl daemon-reload`,
    );
    expect((await scene.board.check(keys)).trim()).toBe('0');
    await scene.board.check('systemctl restart wherryd');
    await scene.board.check('systemctl start wherry-key'); // waits for the start that wherryd pulled in
    expect((await scene.board.check(keys)).trim()).toBe('2');
  });
});
