import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageIdOf } from '../deploy/ids.ts';
import { PodFiles } from '../../../src/device/world/pod-files.ts';
import type { CompiledPod } from '../../../src/device/pod/compiled-pod.ts';
import type { Disk } from '../../../src/device/store/disk.ts';
import { nodeDisk } from '../../../src/device/store/node-disk.ts';

/** The machine's disk, except that files keep the owner that runs the test. */
function ownDisk(writes: string[], lasting: string[]): Disk {
  const disk = nodeDisk();
  const note = <T>(list: string[], path: string, act: () => T): T => {
    list.push(path);
    return act();
  };
  return {
    ...disk,
    own: () => Promise.resolve(),
    write: (path, bytes) => note(writes, path, () => disk.write(path, bytes)),
    syncFile: (path) => note(lasting, path, () => disk.syncFile(path)),
    syncDirectory: (path) => note(lasting, path, () => disk.syncDirectory(path)),
    rename: (from, to) => note(lasting, to, () => disk.rename(from, to)),
  };
}

const pod = (uuid: string): CompiledPod => ({
  name: 'web',
  uuid,
  slice: `wherry-pod-web.${uuid}.slice`,
  services: [{ app: 'main', unit: `wherry-pod-web.${uuid}-main.service`, imageId: imageIdOf('main') }],
  mounts: ['run-wherry-images-0.mount'],
  units: [
    { name: 'run-wherry-images-0.mount', text: '[Mount]\n' },
    { name: `wherry-pod-web.${uuid}.slice`, text: '[Slice]\n' },
    { name: `wherry-pod-web.${uuid}-main.service`, text: '[Service]\n' },
  ],
  files: [{ path: 'apps/main/config.json', content: '{}', mode: 0o600 }],
  directories: [],
  keptVolumes: [],
  limitedVolumes: [],
  sources: [],
  isolators: [],
  ports: { mapped: false, ports: [] },
});

describe('the files of a pod', () => {
  let root: string;
  let writes: string[];
  /** What was synced or renamed, in order. */
  let lasting: string[];
  let files: PodFiles;
  const unit = (name: string): string => join(root, 'units', name);
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'pod-files-'));
    writes = [];
    lasting = [];
    files = new PodFiles(ownDisk(writes, lasting), {
      pods: join(root, 'pods'),
      volumes: join(root, 'volumes'),
      units: join(root, 'units'),
      unitStates: join(root, 'states'),
      mounts: join(root, 'mounts'),
      metadata: join(root, 'metadata'),
      metadataKey: join(root, 'metadata-key'),
    });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('are its bundle, its units, and master copies of them', async () => {
    await files.write(pod('one'));
    expect(readFileSync(join(root, 'pods/one/apps/main/config.json'), 'utf8')).toBe('{}');
    expect(readdirSync(join(root, 'units')).sort()).toEqual(readdirSync(join(root, 'pods/one/units')).sort());
  });

  it('are written again only where they differ [C289]', async () => {
    await files.write(pod('one'), 'document');
    const changed = unit('wherry-pod-web.one.slice');
    writeFileSync(changed, '');
    writes.length = 0;
    await files.write(pod('one'), 'document');
    // Renamed over it: a power cut leaves the old or the new one.
    expect(writes).toEqual([`${changed}.new`]);
    expect(readFileSync(changed, 'utf8')).toBe('[Slice]\n');
  });

  it('of its network are those of the list as it is now, also on the disk [C204]', async () => {
    const config = (name: string) => ({ path: `network/${name}.json`, content: '{}\n', mode: 0o600 });
    await files.write({ ...pod('one'), files: [config('10-bridge'), config('11-portmap')] });
    await files.enable([pod('one')]);
    const network = join(root, 'pods/one/network');
    lasting.length = 0;
    await files.write({ ...pod('one'), files: [config('10-bridge')] });
    await files.enable([pod('one')]);
    expect(readdirSync(network)).toEqual(['10-bridge.json']);
    expect(lasting).toContain(network);
  });

  it('include the volumes that outlive it, which stay unchanged', async () => {
    const { uid, gid } = statSync(root);
    const keptVolumes = [{ path: 'web/data', mode: 0o750, uid, gid }];
    await files.write({ ...pod('one'), keptVolumes });
    const volume = join(root, 'volumes/web/data');
    expect(statSync(volume).mode & 0o7777).toBe(0o750);
    chmodSync(volume, 0o700);
    writeFileSync(join(volume, 'file'), 'kept');
    await files.write({ ...pod('two'), keptVolumes });
    expect(statSync(volume).mode & 0o7777).toBe(0o700);
    expect(readFileSync(join(volume, 'file'), 'utf8')).toBe('kept');
  });

  it('start at boot by one file and one link, which are not rewritten without a change', async () => {
    await files.write(pod('one'));
    await files.enable([pod('one')]);
    expect(readFileSync(unit('wherry-pods.target'), 'utf8')).toMatch(
      /^Wants=wherry-pod-web\.one-main\.service$/m,
    );
    expect(readlinkSync(unit('multi-user.target.wants/wherry-pods.target'))).toBe('../wherry-pods.target');
    writes.length = 0;
    await files.enable([pod('one')]);
    expect(writes).toEqual([]);
  });

  it('are durable before the set that starts them at boot [C45]', async () => {
    const { units } = pod('one');
    await files.write(pod('one'), 'document');
    lasting.length = 0;
    await files.enable([pod('one')]);
    const before = lasting.slice(0, lasting.indexOf(unit('wherry-pods.target')));
    const parts = ['apps/main/config.json', 'apps/main', 'apps', ...units.map(({ name }) => `units/${name}`)];
    const needed = [...parts.map((part) => `pods/one/${part}`), ...units.map(({ name }) => `units/${name}`)];
    for (const path of [...needed, 'pods/one', 'pods', 'metadata/one.json', 'metadata', 'units'])
      expect(before).toContain(join(root, path));
  });

  it('are restored when a unit was lost or changed', async () => {
    await files.write(pod('one'));
    expect(await files.repair(pod('one'))).toBe(false);
    rmSync(unit('wherry-pod-web.one-main.service'));
    writeFileSync(unit('wherry-pod-web.one.slice'), 'changed');
    expect(await files.repair(pod('one'))).toBe(true);
    expect(readFileSync(unit('wherry-pod-web.one-main.service'), 'utf8')).toBe('[Service]\n');
    expect(readFileSync(unit('wherry-pod-web.one.slice'), 'utf8')).toBe('[Slice]\n');
  });

  it('of a scheduled pod start only its timer at boot [C218]', async () => {
    const timer = 'wherry-timer-web.one.timer';
    const scheduled = { ...pod('one'), timer };
    await files.write({ ...scheduled, units: [...scheduled.units, { name: timer, text: '[Timer]\n' }] });
    await files.write(pod('two'));
    await files.enable([scheduled, pod('two')]);
    expect(readFileSync(unit('wherry-pods.target'), 'utf8')).toContain(
      `Wants=${timer} wherry-pod-web.two-main.service\n`,
    );
    writeFileSync(unit(timer), '');
    expect(await files.repair(scheduled)).toBe(true);
    expect(readFileSync(unit(timer), 'utf8')).toBe('[Timer]\n');
    await files.remove([scheduled], []);
    expect(existsSync(unit(timer))).toBe(false);
  });

  it('start the delivery of secrets at boot beside its app [C355]', async () => {
    const delivery = 'wherry-secrets-web.one-main.aaaabbbb.service';
    const one = pod('one');
    const services = one.services.map((service) => ({ ...service, delivery }));
    await files.write({ ...one, services, units: [...one.units, { name: delivery, text: '[Service]\n' }] });
    await files.enable([{ ...one, services }]);
    expect(readFileSync(unit('wherry-pods.target'), 'utf8')).toContain(
      `Wants=wherry-pod-web.one-main.service ${delivery}\n`,
    );
    expect(lasting).toContain(unit(delivery));
    rmSync(unit(delivery));
    expect(await files.repair({ ...one, services })).toBe(true);
    expect(existsSync(unit(delivery))).toBe(true);
  });

  it('of other values of secrets do not damage those of the running pod [C354]', async () => {
    const withValues = (revision: string): CompiledPod => {
      const delivery = `wherry-secrets-web.one-main.${revision}.service`;
      const one = pod('one');
      const services = one.services.map((service) => ({ ...service, delivery }));
      return { ...one, services, units: [...one.units, { name: delivery, text: '[Service]\n' }] };
    };
    const copies = () => readdirSync(join(root, 'pods/one/units')).filter((name) => /secrets/.test(name));
    const [old, next] = [withValues('aaaaaaaa'), withValues('bbbbbbbb')];
    await files.write(old);
    await files.write(next);
    // A rollback, and a repair after it.
    await files.remove([next], [old]);
    expect(await files.damaged(old)).toEqual([]);
    rmSync(unit('wherry-secrets-web.one-main.aaaaaaaa.service'));
    expect(await files.repair(old)).toBe(true);
    expect(copies()).toEqual(['wherry-secrets-web.one-main.aaaaaaaa.service']);
    // A commit.
    await files.write(next);
    await files.remove([old], [next]);
    expect(await files.damaged(next)).toEqual([]);
    expect(copies()).toEqual(['wherry-secrets-web.one-main.bbbbbbbb.service']);
  });

  it('[C296] are removed except those that another pod shares', async () => {
    await files.write(pod('one'));
    await files.write(pod('two'));
    const fields = ['one', 'two'].map((uuid) => `log-extra-fields:wherry-pod-web.${uuid}-main.service`);
    mkdirSync(join(root, 'states'));
    for (const name of fields) writeFileSync(join(root, 'states', name), '');
    await files.remove([pod('one')], [pod('two')]);
    expect(readdirSync(join(root, 'states'))).toEqual(fields.slice(1));
    expect(existsSync(unit('wherry-pod-web.one-main.service'))).toBe(false);
    expect(existsSync(unit('run-wherry-images-0.mount'))).toBe(true);
    expect(existsSync(unit('wherry-pod-web.two-main.service'))).toBe(true);
  });

  it('that no running pod has are found, and the units of an administrator are not', async () => {
    await files.write(pod('0123abcd'));
    await files.write(pod('4567ef01'));
    await files.writeUnit('run-wherry-images-1.mount', '[Mount]\n');
    await files.writeUnit('wherry-holder-web.4567ef01.service', '[Service]\n');
    await files.writeUnit('wherry-secrets-web.4567ef01-main.aaaabbbb.service', '[Service]\n');
    await files.writeUnit('wherry-probe-web.4567ef01-main.service', '[Service]\n');
    await files.writeUnit('run-wherry-secrets.mount', '[Mount]\n');
    await files.writeUnit('wherry-timer-web.4567ef01.aaaabbbb.timer', '[Timer]\n');
    await files.writeUnit('wherry-run-web.4567ef01.target', '[Unit]\n');
    for (const own of [
      'wherry-timer-backup.timer',
      'wherry-pod-backup.service',
      'wherry-pods.target',
      'data.mount',
    ]) {
      await files.writeUnit(own, '[Unit]\n');
    }
    expect((await files.strays([pod('0123abcd')], [])).sort()).toEqual([
      'run-wherry-images-1.mount',
      'run-wherry-secrets.mount',
      'wherry-holder-web.4567ef01.service',
      'wherry-pod-web.4567ef01-main.service',
      'wherry-pod-web.4567ef01.slice',
      'wherry-probe-web.4567ef01-main.service',
      'wherry-run-web.4567ef01.target',
      'wherry-secrets-web.4567ef01-main.aaaabbbb.service',
      'wherry-timer-web.4567ef01.aaaabbbb.timer',
    ]);
  });

  it('leave no delivered secrets behind, except those of running pods', async () => {
    for (const uuid of ['one', 'two']) {
      mkdirSync(join(root, 'secrets', uuid, 'main'), { recursive: true });
      writeFileSync(join(root, 'secrets', uuid, 'main/token'), 'value');
    }
    await files.removeSecrets([pod('one')]);
    expect(readdirSync(join(root, 'secrets'))).toEqual(['one']);
    expect(existsSync(join(root, 'secrets/one/main/token'))).toBe(true);
  });

  it('leave no mount points behind, except those in use', async () => {
    mkdirSync(join(root, 'mounts/used'), { recursive: true });
    mkdirSync(join(root, 'mounts/old'));
    mkdirSync(join(root, 'mounts/mounted/rootfs'), { recursive: true });
    await files.removeMountPoints((id) => id === 'used');
    expect(readdirSync(join(root, 'mounts')).sort()).toEqual(['mounted', 'used']);
  });
});
