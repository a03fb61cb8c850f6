import { createHash, randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../qemu/free-port.ts';
import { buildAci } from '../../../src/operator/build/builder.ts';
import { fromOci, type ConvertedImage, type FromOciOptions } from '../../../src/operator/oci/from-oci.ts';
import { toOci } from '../../../src/operator/oci/to-oci.ts';
import { inspectArchive } from '../../../src/image/aci/inspect.ts';
import { defaultArchiveLimits } from '../../../src/image/tar/limits.ts';
import { wherry } from '../../support/recording-terminal.ts';
import { registryAccess } from './registry-access.ts';
import { run, umociLayout } from '../../support/oci-tools.ts';

let directory: string;
let layout: string;
let count = 0;
const at = (name: string): string => join(directory, name);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-oci-'));
  layout = umociLayout(directory);
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const convert = (source: string, options: Partial<FromOciOptions> = {}): Promise<ConvertedImage> =>
  fromOci({
    source,
    output: at(`${++count}.aci`),
    compression: 'gzip',
    name: 'example.com/app',
    labels: [],
    registry: registryAccess,
    onLayer: () => undefined,
    ...options,
  });

/** The paths of an archive with types, modes, owners and the content of files. */
async function listed(file: string): Promise<string[]> {
  const { list } = await inspectArchive(createReadStream(file), defaultArchiveLimits);
  return list.map(({ path, type, mode, uid, gid, target }) =>
    [path, type, mode.toString(8), uid, gid, target].join(' '),
  );
}

describe('wherry image from-oci', () => {
  it('converts an OCI layout of umoci: layers flattened, config kept', async () => {
    const { manifest, warnings } = await convert(`${layout}:app`);
    expect(manifest).toMatchObject({
      name: 'example.com/app',
      labels: [
        { name: 'version', value: 'app' },
        { name: 'os', value: 'linux' },
        { name: 'arch', value: 'armv7l' },
      ],
      app: {
        exec: ['/bin/app', 'serve'],
        user: 'web',
        group: '44',
        workingDirectory: '/srv/made',
        environment: expect.arrayContaining([{ name: 'MODE', value: 'test' }]) as unknown,
        ports: [{ name: 'tcp-8080', protocol: 'tcp', port: 8080 }],
        mountPoints: [{ name: 'srv-data', path: '/srv/data' }],
        userAnnotations: { 'Some.Label': 'x y' },
      },
    });
    expect(manifest.annotations).toContainEqual({ name: 'wherry/stop-signal', value: 'SIGQUIT' });
    expect(warnings).toEqual([]);
    const paths = (await listed(at(`${count}.aci`))).map((line) => line.split(' ').slice(0, 3).join(' '));
    expect(paths).toEqual(
      expect.arrayContaining([
        'rootfs/bin/app file 755',
        'rootfs/bin/same link 755',
        'rootfs/srv/link symlink 777',
        'rootfs/srv/made directory 755',
        'rootfs/srv/old directory 755',
        'rootfs/srv/old/new file 644',
      ]),
    );
    expect(paths.join('\n')).not.toMatch(/removed|old\/file|\.wh\./);
  });

  it('has the tree that umoci unpacks', async () => {
    await convert(`${layout}:app`);
    run('mkdir', at('aci'));
    run('tar', '-xf', at(`${count}.aci`), '-C', at('aci'), 'rootfs');
    run('rmdir', at('aci/rootfs/srv/made')); // a directory that appc requires and OCI implies
    const isRoot = process.getuid?.() === 0;
    run('umoci', 'unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${layout}:app`, at('unpacked'));
    const tree = (root: string) =>
      run(
        'sh',
        '-c',
        `cd "$1" && find . -printf '%p %y %m %l\\n' | sort && find . -type f -exec sha256sum {} + | sort`,
        'sh',
        root,
      );
    expect(tree(at('aci/rootfs'))).toBe(tree(at('unpacked/rootfs')));
  });

  it('produces the same bytes each time, for any form of the same image', async () => {
    const ids = new Set<string>();
    run('skopeo', 'copy', '--quiet', `oci:${layout}:app`, `oci-archive:${at('app.oci.tar')}:app`);
    run(
      'skopeo',
      'copy',
      '--quiet',
      `oci:${layout}:app`,
      `docker-archive:${at('app.docker.tar')}:example.com/app:app`,
    );
    for (const source of [`${layout}:app`, layout, at('app.oci.tar'), at('app.docker.tar')]) {
      ids.add((await convert(source, { labels: [{ name: 'version', value: '1' }] })).imageId);
    }
    expect(ids.size).toBe(1);
  });

  it('reads name and tag from an archive as docker save writes it', async () => {
    const { name: _name, ...options } = { name: '', output: at('saved.aci') };
    const built = await fromOci({
      source: at('app.docker.tar'),
      compression: 'gzip',
      labels: [],
      registry: registryAccess,
      onLayer: () => undefined,
      ...options,
    });
    expect(built.manifest).toMatchObject({
      name: 'example.com/app',
      labels: [{ name: 'version', value: 'app' }, {}, {}],
    });
  });

  it('accepts a layer without an end marker whose digest is right, as umoci insert writes it', async () => {
    run('cp', '-r', layout, at('inserted'));
    writeFileSync(at('hello'), 'hello\n');
    run('umoci', 'insert', '--image', `${at('inserted')}:app`, at('hello'), '/srv/hello');
    await convert(at('inserted'));
    expect((await listed(at(`${count}.aci`))).join('\n')).toMatch(/rootfs\/srv\/hello file 644 /);
  });

  // Without root it needs user namespaces, which not every machine allows.
  it.runIf(process.getuid?.() === 0)('converts an image of buildah', async () => {
    const buildah = (...args: string[]) =>
      run('buildah', '--storage-driver', 'vfs', '--root', at('storage'), '--runroot', at('run'), ...args);
    const container = buildah('from', '--arch', 'arm64', 'scratch').trim();
    writeFileSync(at('hello'), 'hello\n');
    buildah('copy', '--quiet', container, at('hello'), '/srv/hello');
    buildah('config', '--entrypoint', '["/srv/hello"]', '--port', '80', '--arch', 'arm64', container);
    buildah('commit', '--quiet', container, `oci:${at('built')}:1.0`);
    const { manifest } = await convert(at('built'));
    expect(manifest).toMatchObject({ app: { exec: ['/srv/hello'], ports: [{ port: 80 }] } });
    expect(manifest.labels).toContainEqual({ name: 'arch', value: 'aarch64' });
    expect(await listed(at(`${count}.aci`))).toContain('rootfs/srv/hello file 644 0 0 ');
  });

  it.each<[string, () => string, string, RegExp]>([
    ['there is nothing', () => at('nowhere'), 'not-found', /there is no .*docker:\/\//],
    ['it is no layout', () => directory, 'input-invalid', /not an OCI image layout/],
    ['there is no such tag', () => `${layout}:other`, 'not-found', /no image other, but: "app"/],
    ['it is no tar', () => at('hello'), 'archive-malformed', /hello: it is neither a tar nor compressed/],
  ])('is refused when %s', async (_what, source, code, problem) => {
    await expect(convert(source())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(problem) as string,
    });
  });

  it('refuses a layer with one changed byte, and leaves nothing behind', async () => {
    run('cp', '-r', layout, at('changed'));
    const index = JSON.parse(readFileSync(at('changed/index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    const blob = (digest: string) => at(`changed/blobs/${digest.replace(':', '/')}`);
    const manifest = JSON.parse(readFileSync(blob(index.manifests[0]?.digest ?? ''), 'utf8')) as {
      layers: { digest: string }[];
    };
    const layer = blob(manifest.layers[0]?.digest ?? '');
    const bytes = readFileSync(layer);
    bytes[bytes.length - 5] = (bytes.at(-5) ?? 0) ^ 1;
    writeFileSync(layer, bytes);
    const refused = await wherry([
      'image',
      'from-oci',
      at('changed'),
      '--name',
      'example.com/app',
      '-o',
      at('changed.aci'),
    ]);
    expect(refused.status).toBeGreaterThanOrEqual(64);
    expect(refused.err).toMatch(/layer 1|the blob sha256/);
    expect(run('ls', '-A', directory)).not.toMatch(/changed\.aci|\.wherry-oci/);
  });
});

describe('a registry', () => {
  let registry: ReturnType<typeof spawn>;
  let host: string;

  beforeAll(async () => {
    // htpasswd of user:secret; the registry accepts bcrypt only.
    writeFileSync(
      at('config.yml'),
      `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${at('registry')}\nhttp:\n  addr: 127.0.0.1:0\n`,
    );
    const port = await freePort();
    writeFileSync(
      at('config.yml'),
      readFileSync(at('config.yml'), 'utf8').replace('127.0.0.1:0', `127.0.0.1:${port}`),
    );
    host = `127.0.0.1:${port}`;
    registry = spawn('docker-registry', ['serve', at('config.yml')], { stdio: 'ignore' });
    for (;;) {
      const isUp = await fetch(`http://${host}/v2/`).then(
        () => true,
        () => false,
      );
      if (isUp) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    run(
      'skopeo',
      'copy',
      '--quiet',
      '--dest-tls-verify=false',
      `oci:${layout}:app`,
      `docker://${host}/team/app:1.0`,
    );
  });
  afterAll(async () => {
    registry.kill();
    await once(registry, 'exit');
  });

  it('returns the image that was pushed to it, by tag and by digest', async () => {
    const labels = [{ name: 'version', value: '1' }];
    const { imageId } = await convert(`${layout}:app`, { labels });
    expect((await convert(`docker://${host}/team/app:1.0`, { labels })).imageId).toBe(imageId);
    const digest = (
      JSON.parse(run('skopeo', 'inspect', '--tls-verify=false', `docker://${host}/team/app:1.0`)) as {
        Digest: string;
      }
    ).Digest;
    expect((await convert(`docker://${host}/team/app@${digest}`, { labels })).imageId).toBe(imageId);
    const named = await wherry([
      'image',
      'from-oci',
      `docker://${host}/team/app:1.0`,
      '--plain-http',
      '-o',
      at('named.aci'),
      '--json',
    ]);
    expect(JSON.parse(named.out)).toMatchObject({ name: '127.0.0.1/team/app', warnings: [] });
  });

  it('returns layers that become the same images as those of a layout', async () => {
    const ids = async (source: string) => {
      const folder = at(`layers-${++count}`);
      mkdirSync(folder);
      const options = { layers: 'example.com/layers', labels: [{ name: 'version', value: '1' }] };
      const { layers, imageId } = await convert(source, { ...options, output: join(folder, 'app.aci') });
      return [...layers.map((layer) => layer.imageId), imageId];
    };
    const fromRegistry = await ids(`docker://${host}/team/app:1.0`);
    expect(fromRegistry).toHaveLength(3);
    expect(fromRegistry).toEqual(await ids(`${layout}:app`));
  });

  it('reports a missing image', async () => {
    await expect(convert(`docker://${host}/team/none:1.0`)).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each(['Basic', 'Bearer'])('may require a login: %s', async (scheme) => {
    const token = randomBytes(16).toString('hex');
    const basic = `Basic ${Buffer.from('user:secret').toString('base64')}`;
    const asked: string[] = [];
    const guard: Server = createServer((request, response) => {
      const { authorization = '' } = request.headers;
      asked.push(`${request.url ?? ''} ${authorization.split(' ')[0] ?? ''}`);
      const self = `http://127.0.0.1:${(guard.address() as AddressInfo).port}`;
      if (request.url?.startsWith('/token') === true) {
        response.end(authorization === basic ? JSON.stringify({ token }) : '{}');
        return;
      }
      const expected = scheme === 'Basic' ? basic : `Bearer ${token}`;
      if (authorization !== expected) {
        const challenge =
          scheme === 'Basic'
            ? 'Basic realm="x"'
            : `Bearer realm="${self}/token",service="s",scope="repository:team/app:pull"`;
        response.writeHead(401, { 'www-authenticate': challenge }).end();
        return;
      }
      void fetch(`http://${host}${request.url ?? ''}`, {
        headers: { accept: request.headers.accept ?? '*/*' },
      }).then(async (answer) => {
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
        response.end(Buffer.from(await answer.arrayBuffer()));
      });
    });
    await new Promise<void>((resolve) => guard.listen(0, '127.0.0.1', resolve));
    const source = `docker://127.0.0.1:${(guard.address() as AddressInfo).port}/team/app:1.0`;
    try {
      const credentials = { user: 'user', password: 'secret' };
      const { manifest } = await convert(source, {
        registry: { ...registryAccess, credentials },
      });
      expect(manifest.app?.exec).toEqual(['/bin/app', 'serve']);
      if (scheme === 'Bearer')
        expect(asked).toContain('/token?service=s&scope=repository%3Ateam%2Fapp%3Apull Basic');
      await expect(convert(source)).rejects.toMatchObject({ code: 'download-failed' });
    } finally {
      guard.close();
    }
  });
});

describe('wherry image to-oci', () => {
  it('writes a layout that skopeo and umoci read, and that converts back unchanged', async () => {
    const { manifest } = await convert(`${layout}:app`);
    await toOci({ file: at(`${count}.aci`), output: at('back') });
    const inspected = JSON.parse(run('skopeo', 'inspect', `oci:${at('back')}:app`)) as object;
    expect(inspected).toMatchObject({ Architecture: 'arm', Labels: { 'Some.Label': 'x y' } });
    const isRoot = process.getuid?.() === 0;
    run(
      'umoci',
      'unpack',
      ...(isRoot ? [] : ['--rootless']),
      '--image',
      `${at('back')}:app`,
      at('back-unpacked'),
    );
    expect(readFileSync(at('back-unpacked/rootfs/srv/old/new'), 'utf8')).toBe('new\n');
    const again = await convert(at('back'));
    expect(again.manifest).toEqual(manifest);
    expect(again.imageId).toBe((await convert(`${layout}:app`)).imageId);
  });

  it('writes the bytes of files of any size', async () => {
    mkdirSync(at('sizes'));
    // A large file is passed on alone. After it, files span the batches of the writer.
    const sizes = [200_001, ...Array.from({ length: 300 }, (_, index) => 1000 + 97 * index)];
    // Noise, because compressible data is compressed before the writer has the next batch.
    const contents = sizes.map((size, index) =>
      createHash('shake256', { outputLength: size }).update(String(index)).digest(),
    );
    for (const [index, content] of contents.entries()) {
      writeFileSync(at(`sizes/${String(index).padStart(3, '0')}`), content);
    }
    const labels = [
      { name: 'version', value: '1' },
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'amd64' },
    ];
    const manifest = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/sizes', labels };
    await buildAci({
      ...{ root: at('sizes'), output: at('sizes.aci'), compression: 'none', owner: { uid: 0, gid: 0 } },
      manifest: Buffer.from(JSON.stringify(manifest)),
    });
    await toOci({ file: at('sizes.aci'), output: at('sizes-oci') });
    run('umoci', 'unpack', '--rootless', '--image', `${at('sizes-oci')}:1`, at('sizes-back'));
    for (const [index, content] of contents.entries()) {
      const path = at(`sizes-back/rootfs/${String(index).padStart(3, '0')}`);
      expect(readFileSync(path).equals(content), path).toBe(true);
    }
  });

  it('[C327] prints a note for each kind of setting that OCI images do not have', async () => {
    mkdirSync(at('rich'));
    const rich = async (app: object) => {
      const manifest = {
        ...{ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/rich' },
        labels: [{ name: 'channel', value: 'stable' }],
        annotations: [
          { name: 'homepage', value: 'https://example.com' },
          { name: 'wherry/probe-tcp', value: '80' },
          { name: 'wherry/stop-signal', value: 'SIGQUIT' },
        ],
        app: { exec: ['/x'], user: '0', group: '0', ...app },
      };
      const bytes = Buffer.from(JSON.stringify(manifest));
      await buildAci({ root: at('rich'), output: at('rich.aci'), compression: 'none', manifest: bytes });
      return await wherry(['image', 'to-oci', at('rich.aci'), '-o', at(`rich-${++count}`)]);
    };
    const { err } = await rich({
      isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }],
      eventHandlers: [{ name: 'pre-start', exec: ['/x'] }],
      supplementaryGIDs: [5],
      mountPoints: [{ name: 'site', path: '/site', readOnly: true }],
      ports: [{ name: 'web', protocol: 'tcp', port: 80, count: 2, socketActivated: true }],
      userLabels: { team: 'shop' },
    });
    expect(err.trim().split('\n')).toEqual([
      ...[
        ...['labels: channel', 'annotations: homepage, wherry/probe-tcp', 'isolators: resource/memory'],
        ...['event handlers: pre-start', 'supplementary groups: 5', 'read-only mount points: site'],
        ...['socket activation of ports: web', 'user labels: team'],
      ].map((words) => `note: the OCI image is without the ${words}`),
      'note: it has no label arch, which OCI requires: the OCI image is for amd64',
    ]);
    const { manifest, warnings } = await convert(at(`rich-${count}`));
    expect(manifest.app?.ports.map(({ port }) => port)).toEqual([80, 81]);
    expect(warnings).toEqual([]);
    expect(await rich({ group: '/x' })).toMatchObject({
      status: 64,
      err: expect.stringContaining('runs as the owner of /x, which an OCI image cannot') as string,
    });
  });

  it('loses nothing of an image that was converted from OCI', async () => {
    await convert(`${layout}:app`);
    expect((await toOci({ file: at(`${count}.aci`), output: at('whole') })).warnings).toEqual([]);
  });

  it('writes one file, the same each time', async () => {
    await convert(`${layout}:app`);
    const file = at(`${count}.aci`);
    const digests = [];
    for (const name of ['one.tar', 'two.tar']) {
      await toOci({ file, output: at(name) });
      digests.push(
        createHash('sha256')
          .update(readFileSync(at(name)))
          .digest('hex'),
      );
    }
    expect(digests[0]).toBe(digests[1]);
    expect((await convert(at('one.tar'))).manifest.app?.exec).toEqual(['/bin/app', 'serve']);
  });

  it.each(['a.tar.gz', 'a.tgz', 'a.tar.zst'])('creates no directory named %s', async (name) => {
    await expect(toOci({ file: at(`${count}.aci`), output: at(name) })).rejects.toThrow(
      `${name} would be a directory: name a file that ends in .tar`,
    );
  });

  it('does not overwrite an existing file', async () => {
    await expect(toOci({ file: at('saved.aci'), output: directory })).rejects.toMatchObject({
      code: 'input-invalid',
    });
  });
});
