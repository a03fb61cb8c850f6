import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Run, wherry } from '../../../support/recording-terminal.ts';

let directory: string;
const at = (path: string): string => join(directory, path);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-validate-'));
  await mkdir(at('rootfs/etc'), { recursive: true });
  await mkdir(at('rootfs/bin'), { recursive: true });
  await copyFile('/bin/true', at('rootfs/bin/true'));
  await writeFile(at('rootfs/etc/passwd'), 'root:x:0:0::/:/bin/sh\nweb:x:33:33::/:\n');
  await writeFile(at('rootfs/etc/group'), 'root:x:0:\nweb:x:33:\n');
  const words = ['--name', 'example.com/web', '--exec', '/bin/true', '--user', 'web', '--group', 'web'];
  const label = ['--label', 'arch=aarch64', '--label', 'os=linux'];
  const built = await wherry(['image', 'build', at('rootfs'), '-o', at('web.aci'), ...words, ...label]);
  expect(built, built.err).toMatchObject({ status: 0 });
});
afterAll(() => rm(directory, { recursive: true }));

/** Validates a manifest of one app with these additions. */
async function validate(
  app: Record<string, unknown>,
  pod: Record<string, unknown> = {},
  ...words: string[]
): Promise<Run> {
  const manifest = { apps: [{ name: 'main', image: 'web.aci', ...app }], ...pod };
  await writeFile(at('site.json'), JSON.stringify(manifest));
  return await wherry(['pod', 'validate', at('site.json'), '--image', at('web.aci'), ...words]);
}
const network = (name: string) => ({ annotations: [{ name: 'wherry/network', value: name }] });
const process = { exec: ['/bin/true'], user: 'web', group: 'web' };

describe('wherry pod validate', () => {
  it('[C185] accepts a pod with its user, its network and its secrets', async () => {
    expect(await validate({}, network('bridge'))).toMatchObject({
      status: 0,
      out: `${at('site.json')}: valid, pod site with one app in the network bridge\n`,
    });
    const secret = { annotations: [{ name: 'wherry/secrets', value: 'token:0440 other' }] };
    const { status, out } = await validate(secret, network('field-lan'), '--name', 'web', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      pod: 'web',
      network: 'field-lan',
      apps: [{ app: 'main', imageId: expect.stringMatching(/^sha512-/) as string }],
    });
  });

  it('[C185] shows the limits that a device would change', async () => {
    const isolators = [{ name: 'resource/block-iops', value: { default: true, limit: '100' } }];
    expect((await validate({ app: { ...process, isolators } })).out).toContain(
      'note: app main: resource/block-iops is modified: ',
    );
  });

  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)(
    '[C284] [C285] names what systemd does not know, and a schedule that does not occur again',
    async () => {
      const isolators = [{ name: 'os/linux/seccomp-remove-set', value: { set: ['mkdir', 'mkdirr'] } }];
      expect((await validate({ app: { ...process, isolators } })).out).toContain(
        'note: app main: os/linux/seccomp-remove-set is modified: not known here: mkdirr\n',
      );
      const at = (value: string) => ({ annotations: [{ name: 'wherry/schedule', value }] });
      expect((await validate({}, at('hourly'))).out).not.toContain('note:');
      expect((await validate({}, at('*-02-30'))).out).toContain(
        'note: the pod: wherry/schedule is ignored: does not occur again: *-02-30',
      );
      expect(await validate({}, at('25:00'))).toMatchObject({
        status: 65,
        err: expect.stringContaining("'25:00'") as string,
      });
    },
  );

  it('[C185] names volumes that no app mounts, which a device does not create', async () => {
    const volumes = ['used', 'data'].map((name) => ({ name, kind: 'empty' }));
    const pod = { volumes, annotations: [{ name: 'wherry/kept-volumes', value: 'data' }] };
    const app = { mounts: [{ volume: 'used', path: '/used' }] };
    const { status, out } = await validate(app, pod);
    expect(status).toBe(0);
    expect(out).toContain('note: volume data: no app mounts it, so a device does not make it\n');
    expect(out).not.toContain('volume used');
    expect(JSON.parse((await validate(app, pod, '--json')).out)).toMatchObject({ unmounted: ['data'] });
  });

  it('[C185] refuses one host port twice, as a device does', async () => {
    const ports = ['http', 'admin'].map((name, at) => ({
      ...{ name, hostPort: 80, podPort: { name, protocol: 'tcp', port: 8080 + at } },
    }));
    expect(await validate({}, { ...network('bridge'), ports })).toMatchObject({
      status: 65,
      err: expect.stringContaining('ports/admin/hostPort: 80/tcp is taken by pod site: ports/http') as string,
    });
  });

  it('[C185] reads YAML as kubectl does: merge keys, and no empty documents', async () => {
    const pod = 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n';
    const containers = '  - &one { name: one, image: web.aci }\n  - { <<: *one, name: two }\n';
    const run = async (text: string): Promise<Run> => {
      await writeFile(at('site.yaml'), text);
      return await wherry(['pod', 'validate', at('site.yaml'), '--image', at('web.aci')]);
    };
    const { status, out } = await run(`---\n# made\n---\n${pod}${containers}---\n`);
    expect({ status, out }).toMatchObject({ status: 0, out: expect.stringContaining('2 apps') as string });
    expect(await run(`${pod}${containers}---\nkind: Service\n`)).toMatchObject({
      status: 64,
      err: expect.stringContaining('2 documents of YAML; put the Pod into a file of its own') as string,
    });
    expect((await run('a: [')).err).toContain('cannot be read as YAML');
    expect((await run('---\n')).status).toBe(65);
    expect((await run('kind: Pod\n')).err).toContain('has no apiVersion; expected a Kubernetes Pod');
  });

  it.each([
    ['0100', '0100 is octal in YAML 1.1, as kubectl reads it, and decimal in YAML 1.2'],
    ['9007199254740993', '9007199254740993 is too large for an integer'],
  ])('[C185] refuses an integer that is not the same to every reader: %s', async (number, why) => {
    await writeFile(
      at('octal.yaml'),
      `apiVersion: v1\nkind: Pod\nspec: {securityContext: {runAsUser: ${number}}}`,
    );
    const { status, err } = await wherry(['pod', 'validate', at('octal.yaml'), '--image', at('web.aci')]);
    expect(status).not.toBe(0);
    expect(err).toContain(why);
    expect(err).toContain('octal.yaml cannot be read as YAML');
  });

  it('[C185] accepts manifests with a byte order mark, as Windows tools write them (RFC 8259 §8.1)', async () => {
    const image = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/mark' };
    await writeFile(at('mark.json'), `\ufeff${JSON.stringify(image)}`);
    const built = await wherry([
      ...['image', 'build', at('rootfs'), '--manifest', at('mark.json'), '-o', at('mark.aci')],
    ]);
    expect(built, built.err).toMatchObject({ status: 0 });
    const pod = {
      apps: [{ name: 'main', image: 'mark.aci', app: { exec: ['/bin/true'], user: '0', group: '0' } }],
    };
    await writeFile(at('mark-pod.json'), `\ufeff${JSON.stringify(pod)}`);
    const run = await wherry(['pod', 'validate', at('mark-pod.json'), '--image', at('mark.aci')]);
    expect(run, run.err).toMatchObject({ status: 0 });
    await writeFile(at('mark-pod.json'), '{"apps": [');
    expect((await wherry(['pod', 'validate', at('mark-pod.json')])).err).not.toContain('SyntaxError');
  });

  it('[C185] accepts a Kubernetes Pod', async () => {
    await writeFile(
      at('web.yaml'),
      'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n    - {name: main, image: example.com/web}\n',
    );
    const words = ['pod', 'validate', at('web.yaml'), '--image', at('web.aci')];
    expect(await wherry(words)).toMatchObject({ status: 0, err: '' });
  });

  it.each([
    ['a user that the image lacks', { app: { ...process, user: 'nobody' } }, {}, 65, 'pod-user-unknown'],
    ['an unknown field', { colour: 'red' }, {}, 65, 'pod-manifest-invalid'],
    ['a network that is no name', {}, network('Field LAN'), 65, 'pod-manifest-invalid'],
    ['a mount without a volume', { mounts: [{ volume: 'data', path: '/d' }] }, {}, 65, 'pod-volume-invalid'],
    ['an image that was not given', { image: 'other.aci' }, {}, 64, 'not-found'],
  ])('[C185] refuses %s with the code of a device', async (_what, app, pod, status, code) => {
    const run = await validate(app, pod);
    expect(run).toMatchObject({ status, out: '' });
    expect(run.err).toContain(`(${code})`);
  });

  it.each([
    [
      '{"apiVersion":"v1","kind":"Pod","spec":{"hostNetwork":true,"hostNetwork":false,"containers":[{"name":"main","image":"web.aci"}]}}',
      '/spec/hostNetwork: the key is there twice',
    ],
    [
      '{"apps":[{"name":"main","image":"web.aci","readOnlyRootFS":true,"readOnlyRootFS":false}]}',
      '/apps/0/readOnlyRootFS: the key is there twice',
    ],
  ])('[C314] refuses a key that is there twice: %s', async (text, words) => {
    await writeFile(at('twice.json'), text);
    const run = await wherry(['pod', 'validate', at('twice.json'), '--image', at('web.aci')]);
    expect(run).toMatchObject({ status: 64, out: '' });
    expect(run.err).toContain(words);
  });

  it.each([
    'apiVersion: v1\nkind: Pod\nspec: { containers: [{ name: main, image: web.aci, args: [caf\u00e9] }] }\n',
    '{"apps":[{"name":"main","image":"web.aci","annotations":[{"name":"note","value":"caf\u00e9"}]}]}',
  ])('[C328] refuses a file that is not UTF-8: %j', async (text) => {
    await writeFile(at('latin.yaml'), Buffer.from(text, 'latin1'));
    const run = await wherry(['pod', 'validate', at('latin.yaml'), '--image', at('web.aci')]);
    expect(run).toMatchObject({ status: 64, out: '' });
    expect(run.err).toContain('latin.yaml is not UTF-8');
  });

  it('lists every field of a Kubernetes Pod that has no meaning', async () => {
    await writeFile(
      at('bad.yaml'),
      'apiVersion: v1\nkind: Pod\nspec:\n  priority: 5\n  nodeName: a\n  containers:\n    - {name: main, image: example.com/web}\n',
    );
    const run = await wherry(['pod', 'validate', at('bad.yaml'), '--image', at('web.aci')]);
    expect(run).toMatchObject({ status: 64, out: '' });
    expect(run.err).toMatch(/priority.*nodeName|nodeName.*priority/);
  });
});
