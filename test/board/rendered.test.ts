import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../src/image/tar/limits.ts';
import { inspectArchive } from '../../src/image/aci/inspect.ts';
import { parseImageId } from '../../src/image/appc/identifiers.ts';
import { parseImageManifest } from '../../src/image/appc/image-manifest.ts';
import { directory, file, pax, type RawEntry, rootfs, tar } from '../support/raw-tar.ts';
import { treeOfApp, treeOfRender } from './app-tree.ts';
import { itOn, oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** Owned by user and group 1000. */
const of1000 = (entry: RawEntry, mode: number): RawEntry => ({
  ...entry,
  mode,
  uid: 1000,
  patch: [[116, '0001750\0']],
});
const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** Tests what the unit could do besides its job: another program under the limits of the unit. */
const probe = `
const fs = require('node:fs'), net = require('node:net');
const can = (word, act) => { try { act(); console.log(word, 'yes'); } catch { console.log(word, 'no'); } };
const [image] = fs.readdirSync('/run/wherry/images');
const rootfs = '/run/wherry/images/' + image + '/rootfs';
can('read-closed-file-of-image', () => fs.readFileSync(rootfs + '/data/keep'));
can('write-image', () => fs.writeFileSync(rootfs + '/file', 'x'));
can('write-own', () => fs.writeFileSync('/var/lib/wherry/partial/' + process.argv[2] + '/file', 'x'));
can('write-other-job', () => fs.writeFileSync('/var/lib/wherry/partial/other/file', 'x'));
can('read-shadow', () => fs.readFileSync('/etc/shadow'));
can('read-keys', () => fs.readdirSync('/etc/wherry'));
can('read-state', () => fs.readFileSync('/var/lib/wherry/state-a.cbor'));
can('read-pods', () => fs.readdirSync('/var/lib/wherry/pods'));
can('read-homes', () => fs.readFileSync('/root/secret'));
can('see-systemd', () => fs.statSync('/run/systemd/private'));
can('see-others', () => fs.readFileSync('/proc/1/status'));
can('become-root', () => process.setuid(0));
net.connect({ host: '127.0.0.1', port: 9 }).on('error', (e) => console.log('network', e.code));
`;

describe.each(oneBoard)('an image whose tree must be rendered on %s', (boardName) => {
  let scene: Scene;
  let base: BuiltImage;
  let listed: BuiltImage;
  let sibling: BuiltImage;
  const running = { app: { exec: ['/bin/sleep', '100000'], user: '0', group: '0' } };

  /** An image of raw entries. */
  async function image(
    name: string,
    entries: readonly RawEntry[],
    on: readonly BuiltImage[],
    more: object = {},
  ): Promise<BuiltImage> {
    const text = JSON.stringify({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: `example.com/${name}`,
      dependencies: on.map(({ id, name: imageName }) => ({ imageName, imageID: id })),
      ...more,
    });
    const bytes = tar({ name: 'manifest', body: text }, ...entries);
    const path = join(scene.directory, `${name}.aci`);
    await writeFile(path, bytes);
    return await scene.offer(path, {
      id: parseImageId(`sha512-${createHash('sha512').update(bytes).digest('hex')}`),
      name: parseImageManifest(Buffer.from(text)).name,
      labels: [],
      sizeBytes: bytes.length,
      tarSizeBytes: bytes.length,
    });
  }

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    base = await scene.image('busybox', ['/bin/sh'], {
      name: 'example.com/base',
      files: [
        { path: '/srv/kept', content: 'kept\n' },
        { path: '/srv/left-out', content: 'left out\n' },
      ],
    });
    listed = await image(
      'listed',
      [
        rootfs,
        of1000(directory('rootfs/data'), 0o2700),
        pax({ 'SCHILY.xattr.user.note': Buffer.from([0, 255, 10]) }),
        of1000(file('rootfs/data/keep', 'closed to others\n'), 0o600),
        { name: 'rootfs/data/linked', type: '1', linkname: 'rootfs/data/keep' },
        { name: 'rootfs/unlisted', type: '1', linkname: 'rootfs/data/keep' },
        pax({ 'SCHILY.xattr.security.capability': capability }),
        { name: 'rootfs/data/capable', body: 'program', mode: 0o755, mtime: 5 },
        of1000(file('rootfs/data/setuid', 'program'), 0o4711),
        { name: 'rootfs/data/link', type: '2', linkname: '/nowhere/../else', mode: 0o777 },
        of1000({ name: 'rootfs/data/pipe', type: '6' }, 0o620),
        pax({ path: `rootfs/data/${'long-'.repeat(40)}é` }),
        file('short', 'of the long name'),
        file('rootfs/data/drop', 'not listed'),
      ],
      [],
      {
        pathWhitelist: ['keep', 'linked', 'capable', 'setuid', 'link', 'pipe', `${'long-'.repeat(40)}é`].map(
          (name) => `/data/${name}`,
        ),
      },
    );
    // Contains neither `data` nor `srv`, so the entries of lower images apply.
    sibling = await image(
      'sibling',
      [rootfs, file('rootfs/data/drop', "the sibling's\n"), file('rootfs/srv/site/page', 'a page\n')],
      [],
    );
  });
  afterAll(async () => {
    await scene.stop();
  });

  const desiredOf = (...images: readonly BuiltImage[]) => {
    const [app] = images;
    if (app === undefined) throw new Error('no image');
    const desired = scene.desired([{ name: 'web', image: app }]);
    return { ...desired, images: images.map(({ path: _path, ...one }) => one) };
  };
  const objects = async () =>
    (await scene.board.check('ls /var/lib/wherry/images')).split('\n').filter((name) => name !== '');
  const renderings = async () =>
    (await scene.board.journal(`-u 'wherry-render@*' -o cat`))
      .split('\n')
      .filter((line) => line.startsWith('Starting')).length;
  const mounts = async () =>
    (await scene.board.check("systemctl list-units --plain --no-legend 'run-wherry-images*.mount'"))
      .split('\n')
      .filter((line) => line !== '').length;

  let below: BuiltImage;

  it('has the rendered tree, for the path list of a dependency with a sibling [C39]', async () => {
    below = await image('below', [rootfs], [base, listed, sibling], running);
    const images = [below, base, listed, sibling];
    expect(await scene.deploy(desiredOf(...images))).toMatchObject({ outcome: 'committed' });
    const found = await treeOfApp(scene);
    expect(found).toEqual(await treeOfRender(images, join(scene.directory, 'below-rendered.aci')));
    const named = (name: string) => found.find((line) => line.startsWith(`${name}\t`));
    expect(named('data/keep')).toMatch(/ 600 1000:1000 .*user\.note=00ff0a.* data\/keep,data\/linked$/);
    expect(named('data/capable')).toContain(`security.capability=${capability.toString('hex')}`);
    expect(named('data')).toMatch(/ 2700 1000:1000 /);
    expect(named('unlisted')).toBeUndefined();
    expect(named('data/drop')).toBeDefined(); // of the sibling itself
  });

  it('runs in one object, and keeps the objects of its images without mounts', async () => {
    expect((await objects()).filter((name) => name.startsWith('rendered-'))).toHaveLength(1);
    expect(await objects()).toHaveLength(5);
    await expect.poll(mounts).toBe(1);
    await expect.poll(() => scene.board.check('ls -A /var/lib/wherry/partial')).toBe('');
  });

  it('is rendered by a unit that can read images and nothing else', async () => {
    const job = 'f'.repeat(32);
    await scene.board.copyIn(Buffer.from(probe), '/usr/lib/wherry/probe.cjs');
    const output = await scene.board.check(
      `mkdir -p /etc/systemd/system/wherry-render@${job}.service.d
      printf '[Service]\\nExecStart=\\nExecStart=node --jitless /usr/lib/wherry/probe.cjs ${job}\\n' \\
        >/etc/systemd/system/wherry-render@${job}.service.d/probe.conf
      systemctl daemon-reload
      mkdir -m 777 /var/lib/wherry/partial/other
      echo x >/root/secret
      install -d -o wherry-pull -m 700 /var/lib/wherry/partial/${job}
      systemctl start wherry-render@${job}.service
      journalctl --sync
      journalctl --no-pager -o cat _SYSTEMD_UNIT=wherry-render@${job}.service
      rm -r /etc/systemd/system/wherry-render@${job}.service.d /usr/lib/wherry/probe.cjs /var/lib/wherry/partial/*
      systemctl daemon-reload`,
    );
    expect(output.trim().split('\n')).toEqual([
      'read-closed-file-of-image yes',
      'write-image no',
      'write-own yes',
      'write-other-job no',
      'read-shadow no',
      'read-keys no',
      'read-state no',
      'read-pods no',
      'read-homes no',
      'see-systemd no',
      'see-others no',
      'become-root no',
      'network EAFNOSUPPORT',
    ]);
  });

  it('is rendered again only when its object is damaged', async () => {
    const before = await renderings();
    const images = [below, base, listed, sibling];
    const again = { ...desiredOf(...images), pods: scene.desired([{ name: 'other', image: below }]).pods };
    expect(await scene.deploy(again)).toMatchObject({ outcome: 'committed' });
    expect(await renderings()).toBe(before);

    expect(await scene.deploy(scene.desired([]))).toMatchObject({ outcome: 'committed' });
    await expect.poll(mounts).toBe(0);
    // A sealed object cannot be shortened, only replaced.
    await scene.board.check(`cd /var/lib/wherry/images
      for object in rendered-*.erofs; do
        head -c 8192 "$object" >/run/short
        rm "$object"
        cp /run/short "$object"
      done`);
    expect(await scene.deploy(desiredOf(...images))).toMatchObject({ outcome: 'committed' });
    expect(await renderings()).toBe(before + 1);
  });

  it('has the rendered tree, for its own path list [C39]', async () => {
    const { list } = await inspectArchive(createReadStream(base.path), defaultArchiveLimits);
    const paths = list.map(({ path }) => path.slice('rootfs'.length));
    const kept = paths.filter((path) => !/^(\/srv\/left-out$|\/usr\/bin\/dd$)/.test(path));
    const app = await image('listing', [rootfs, file('rootfs/own', '')], [base], {
      ...running,
      pathWhitelist: kept.filter((path) => path.startsWith('/')),
    });
    expect(await scene.deploy(desiredOf(app, base))).toMatchObject({ outcome: 'committed' });
    const found = await treeOfApp(scene);
    expect(found).toEqual(await treeOfRender([app, base], join(scene.directory, 'listing-rendered.aci')));
    const names = found.map((line) => line.split('\t')[0]);
    expect(names).toContain('srv/kept');
    for (const name of ['srv/left-out', 'usr/bin/dd', 'own']) expect(names).not.toContain(name);
  });

  itOn(boardName, 'controllers')('is rendered in little memory', async () => {
    const journal = await scene.board.journal(`-u 'wherry-render@*' -o cat`);
    const peaks = [...journal.matchAll(/([0-9.]+)M memory peak/g)].map(([, mebibytes]) => Number(mebibytes));
    expect(peaks.length).toBeGreaterThan(2);
    expect(Math.max(...peaks), journal).toBeLessThan(80);
  });

  it('keeps its object as long as a deployment needs it', async () => {
    // wherryd collects after `wherry gc` has ended, and pods after images.
    const unneeded = '/var/lib/wherry/pods/0123abcd-0000-8000-8000-000000000000';
    await scene.board.check(`mkdir ${unneeded}; wherry gc`);
    await scene.board.waitFor(`test ! -e ${unneeded}`);
    // The objects of the current and of the previous deployment.
    expect((await objects()).filter((name) => name.startsWith('rendered-'))).toHaveLength(2);
    for (let count = 0; count < 2; count++) {
      expect(await scene.deploy(scene.desired([]))).toMatchObject({ outcome: 'committed' });
    }
    await scene.board.check('wherry gc');
    await scene.board.waitFor('ls /var/lib/wherry/images', ({ stdout }) => stdout === '');
  });
});
