import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksOf } from '../../qemu/index.ts';
import { boardsFor, itOn, itOnce } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly sizeBytes: number;
  readonly inUse: boolean;
  readonly lastUse: string | null;
  readonly deployments: readonly { which: string; version: number }[];
  readonly pods: readonly string[];
  readonly verity: string | null;
}

const marker = 'the byte that will be changed';

/** Both ways are tested: with a file system that seals files, and without. */
describe.each(boardsFor('fs-verity', 'disk', 'kernel'))('the store of %s', (boardName) => {
  const seals = lacksOf(boardName)['fs-verity'] === undefined;
  let scene: Scene;
  let image: BuiltImage;
  let next: BuiltImage;
  let running = 0;
  const object = (): string => `/var/lib/wherry/images/${image.id}.erofs`;

  const page = async (version: string): Promise<BuiltImage> =>
    await scene.image('busybox', ['/usr/bin/busybox', 'httpd', '-f', '-p', '8080', '-h', '/srv'], {
      name: 'example.com/page',
      version,
      files: [
        { path: '/srv/index.html', content: `page ${version}\n` },
        { path: '/srv/marked', content: `${'.'.repeat(20_000)}${marker}${'.'.repeat(20_000)}` },
      ],
    });
  const list = async (): Promise<Listed[]> =>
    JSON.parse(await scene.board.check('wherry image list --on-device --json')) as Listed[];
  const verify = async () => await scene.board.run('wherry image verify --on-device', { timeoutMs: 240_000 });
  const served = async (path: string) =>
    await scene.board.waitFor(`curl -sf http://127.0.0.1:8080/${path}`, ({ status }) => status === 0);
  /**
   * Changes a byte of the object on the medium, below the file system, like worn flash or an
   * attacker.
   */
  const flipByte = async (): Promise<void> => {
    await scene.board.check(
      `set -e
       sync
       offset=$(grep -abo '${marker}' ${object()} | head -n 1 | cut -d : -f 1)
       device=/dev/$(basename "$(readlink -f /sys/dev/block/$(mountpoint -d /))")
       block=$(debugfs -R "bmap ${object()} $((offset / 4096))" $device 2>/dev/null | tail -n 1)
       dd if=$device of=/tmp/block bs=4096 skip=$block count=1 iflag=direct status=none
       printf X | dd of=/tmp/block bs=1 seek=$((offset % 4096)) conv=notrunc status=none
       dd if=/tmp/block of=$device bs=4096 seek=$block count=1 oflag=direct conv=notrunc status=none`,
    );
  };

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    image = await page('1.0.0');
    next = await page('2.0.0');
    const desired = scene.desired([{ name: 'web', image }]);
    running = desired.version;
    expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
  });
  afterAll(async () => {
    await scene.stop();
  });

  it(`reports whether it seals objects, and ${seals ? 'seals' : 'keeps'} what it stores [C70]`, async () => {
    const { capabilities } = await scene.report(() => true);
    const capability = capabilities.find(({ name }) => name === 'fs-verity');
    expect(capability?.available).toBe(seals);
    if (!seals) expect(capability?.detail).toMatch(/needs ext4 with the feature verity/);
    const measured = await scene.board.run(`fsverity measure ${object()}`);
    const [listed] = await list();
    expect(listed).toMatchObject({
      id: image.id,
      name: 'example.com/page',
      version: '1.0.0',
      inUse: true,
      deployments: [{ which: 'current', version: running }],
      pods: ['web'],
    });
    expect(listed?.sizeBytes).toBeGreaterThan(40_000);
    expect(listed?.verity ?? '').toBe(seals ? measured.stdout.split(' ')[0] : '');
    // The kernel mounts the sealed file itself.
    expect(await scene.board.check('grep erofs /proc/mounts')).toContain(`${object()} /run/wherry/images/`);
    // A native board sees the loop devices of the whole machine.
    expect(await scene.board.check(`losetup -j ${object()}`)).toBe('');
    const opened = await scene.board.run(`: >>${object()}`);
    expect(opened.status === 0).toBe(!seals);
  });

  itOnce(boardName)('verifies every object', async () => {
    const { status, stdout, stderr } = await verify();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^example\.com\/page sha512-[0-9a-f]{12}: ok, .* read(, sealed)?\n$/);
    expect(stdout.includes('sealed')).toBe(seals);
  });

  itOn(
    boardName,
    'disk',
    'kernel',
  )(
    `with a changed byte on the medium ${seals ? 'gives no data' : 'is found by reading all of it'} [C72]`,
    async () => {
      await served('marked');
      await scene.board.check(`cat ${object()} >/dev/null`);
      await flipByte();
      // The page cache still has the original object; `verify` must read the medium.
      const { status, stdout: lines, stderr } = await verify();
      expect(status).toBe(65);
      expect(lines).toMatch(
        /image-corrupt: the stored object of example\.com\/page (cannot be read|has other bytes)/,
      );
      expect(stderr).toContain('(image-corrupt)');
      await scene.board.check('echo 3 >/proc/sys/vm/drop_caches');
      const read = await scene.board.run(`cat ${object()} >/dev/null`);
      expect(read.status === 0).toBe(!seals);
      if (seals) expect(read.stderr).toMatch(/Input\/output error/);
      const { stdout } = await scene.board.run('curl -s http://127.0.0.1:8080/marked');
      expect(stdout.includes(`X${marker.slice(1)}`)).toBe(!seals);
    },
  );

  itOnce(boardName)(
    'pulls a replaced object again when the command of the running version arrives again [C71]',
    async () => {
      const before = await scene.report((report) => report.pods[0]?.healthy === true);
      const requests = scene.requests.length;
      // A sealed store notices even a complete copy, because nobody verified it. Without seals only
      // another length is noticed.
      await scene.board.check(
        `set -e
       cd /var/lib/wherry/images
       head -c 8192 ${object()} >/tmp/copy
       ${seals ? `truncate -s $(stat -c %s ${object()}) /tmp/copy` : ''}
       cp /tmp/copy ${object()}.copy
       chmod 444 ${object()}.copy
       mv -f ${object()}.copy ${object()}
       ${lacksOf(boardName).kernel === undefined ? 'sync; echo 3 >/proc/sys/vm/drop_caches' : ''}
       systemctl restart wherryd`,
      );
      await scene.board.waitFor(
        'journalctl -b -o cat -u wherryd | grep "replaced because damaged: example.com/page"',
        undefined,
        240_000,
      );
      expect(await scene.board.check('journalctl -b -o cat -u wherryd WHERRY_CODE=image-corrupt')).toMatch(
        seals ? /is not sealed any more/ : /has 8192 bytes instead of/,
      );
      expect(scene.requests.length).toBeGreaterThan(requests);
      await served('marked');
      expect((await verify()).status).toBe(0);
      const report = await scene.report(
        ({ pods, damaged, seq }) =>
          pods[0]?.healthy === true &&
          pods[0].apps[0]?.pid !== before.pods[0]?.apps[0]?.pid &&
          damaged === undefined &&
          seq > 1,
      );
      expect(report.bootId).toBe(before.bootId);
      // The repair is not a deployment, so there is no second answer.
      expect(scene.events.filter(({ version }) => version === running)).toHaveLength(1);
    },
  );

  itOnce(boardName)(
    'and every file of its pods heal after a power cut that emptied them all [C310]',
    async () => {
      await scene.board.check(
        `set -e
       cd /var/lib/wherry
       units=$(find /etc/systemd/system -name '*wherry-*' -type f)
       for file in $(find images pods snapshots -type f ! -path '*/volumes/*') $units; do
         : >$file.new; mv -f $file.new $file
       done`,
      );
      scene.reports.length = 0;
      await scene.board.reboot();
      // The fault is logged before the command comes again, or when it does.
      await scene.report(({ pods, damaged }) => pods[0]?.healthy === true && damaged === undefined);
      await served('marked');
      const log = await scene.board.check('journalctl -b -o cat -u wherryd WHERRY_CODE=disk-failed');
      expect(log).toMatch(/^pod web: .*\/sha256sums is missing or damaged; written again when/m);
      await scene.board.check('cd /var/lib/wherry/pods/*/; sha256sum --status --check sha256sums');
    },
  );

  itOnce(boardName)('reports when an image was used last, and what collection would delete', async () => {
    await scene.deploy(scene.desired([{ name: 'web', image: next }]));
    expect(await scene.deploy(scene.desired([{ name: 'web', image: next }]))).toMatchObject({
      outcome: 'committed',
    });
    const listed = await list();
    const [old, used] = [image, next].map(({ id }) => listed.find((one) => one.id === id));
    expect(old).toMatchObject({ inUse: false, deployments: [], pods: [] });
    expect(Date.parse(old?.lastUse ?? '')).toBeGreaterThan(Date.parse('2026-01-01'));
    expect(used).toMatchObject({ inUse: true, pods: ['web'] });
    expect(used?.deployments.map(({ which }) => which)).toEqual(['current', 'previous']);
    const dry = await scene.board.check('wherry gc --dry-run');
    expect(dry).toContain(object());
    expect(dry).not.toContain(next.id);
    // A request during the start makes wherryd collect as soon as it listens.
    await scene.board.check('systemctl stop wherryd; systemctl start --no-block wherryd; wherry gc');
    await scene.board.waitFor('wherry gc --dry-run', ({ stdout }) => stdout === 'nothing to delete\n');
    expect((await scene.board.run(`test -e ${object()}`)).status).not.toBe(0);
    expect((await list()).map(({ id }) => id)).toEqual([next.id]);
  });
});
