import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBoardConfig } from '../../qemu/index.ts';
import { payloadRoot, type PayloadName } from '../../qemu/payload.ts';
import { readImageFile } from '../../src/operator/fleet/offered-image.ts';
import { wherry } from '../support/recording-terminal.ts';
import { loopbackCertificate } from '../support/loopback-certificate.ts';
import { serve, type TestServer } from '../support/test-server.ts';
import { oneBoard } from './board-choice.ts';
import { Scene } from './scene.ts';

/**
 * Real server programs of Debian in OCI images that umoci built. Python and Node are large and have
 * a run of their own (`npm run test:images`).
 */
const programs: Readonly<Record<string, { readonly exec: readonly string[]; readonly says: string }>> = {
  nginx: { exec: ['/usr/sbin/nginx'], says: 'served by nginx' },
  python: {
    exec: ['/usr/bin/python3', '-m', 'http.server', '8080', '--directory', '/srv'],
    says: 'served by Python',
  },
  node: { exec: ['/usr/bin/node', '/srv/server.js'], says: 'served by Node' },
};
/** The names of an architecture in OCI and in AppC. */
const archNames = {
  amd64: ['amd64', 'amd64'],
  arm64: ['arm64', 'aarch64'],
  armhf: ['arm', 'armv7l'],
} as const;
const chosen = (process.env['WHERRY_IMAGES'] ?? 'nginx').split(',');

describe.each(oneBoard)('images of OCI on %s', (boardName) => {
  const { config } = loadBoardConfig(boardName);
  const [ociArch, appcArch] = archNames[config.arch];
  const tls = loopbackCertificate(['example.com']);
  let scene: Scene;
  let site: TestServer;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    site = await serve((request, response) => {
      const [, name = ''] = /^\/([a-z]+)\?ac-discovery=1$/.exec(request.url ?? '') ?? [];
      const template = scene.urlOf(`/${name}-{version}-{arch}.{ext}`);
      response.end(`<meta name="ac-discovery" content="example.com/${name} ${template}">`);
    }, tls);
  });
  afterAll(async () => {
    await site.close();
    await scene.stop();
  });

  it.each(chosen)(
    '%s is converted, signed, found by its name, pulled, and serves its page [C30] [C31] [C32]',
    async (name) => {
      const { exec, says } = programs[name] ?? { exec: [], says: '' };
      const at = (file: string) => join(scene.directory, file);
      const run = (...args: string[]) => execFileSync('umoci', args, { stdio: 'pipe' });
      const layout = at(`${name}-layout`);
      run('init', '--layout', layout);
      run('new', '--image', `${layout}:1.0`);
      run('insert', '--image', `${layout}:1.0`, await payloadRoot(name as PayloadName, config), '/');
      const page = at(`${name}.html`);
      writeFileSync(page, 'served by nginx\n');
      if (name === 'nginx') run('insert', '--image', `${layout}:1.0`, page, '/srv/www/index.html');
      const words = exec.flatMap((word) => [`--config.entrypoint=${word}`]);
      run(
        'config',
        '--image',
        `${layout}:1.0`,
        '--architecture',
        ociArch,
        '--os',
        'linux',
        '--config.user',
        '33:33',
        ...words,
      );

      const file = at(`${name}-1.0-${appcArch}.aci`);
      const converted = await wherry([
        'image',
        'from-oci',
        layout,
        '--name',
        `example.com/${name}`,
        '-o',
        file,
      ]);
      expect(converted).toMatchObject({ status: 0 });
      const { id, manifest, sizeBytes, tarSizeBytes } = await readImageFile(file);
      await scene.offer(file, { id, name: manifest.name, labels: manifest.labels, sizeBytes, tarSizeBytes });
      writeFileSync(at('images.asc'), scene.imageKey.publicKey);
      writeFileSync(at('ca.pem'), tls.cert);

      const imagePort = new URL(scene.urlOf('/x')).port;
      const fetched = await wherry([
        ...['image', 'fetch', `example.com/${name}:1.0,arch=${appcArch}`, '--json', '-o', at('fetched')],
        ...['--key', at('images.asc'), '--ca', at('ca.pem')],
        ...['--connect-to', `example.com:443:127.0.0.1:${new URL(site.url).port}`],
        ...['--connect-to', `10.0.2.2:${imagePort}:127.0.0.1:${imagePort}`],
      ]);
      expect(fetched).toMatchObject({ status: 0 });
      const [found] = JSON.parse(fetched.out) as { id: string; url: string }[];
      expect(found?.id).toBe(id);

      const image = {
        path: file,
        id,
        name: manifest.name,
        labels: manifest.labels,
        sizeBytes,
        tarSizeBytes,
        urls: [found?.url ?? ''],
      };
      const event = await scene.deploy(scene.desired([{ name: 'web', image }]), 900_000);
      expect(event).toMatchObject({ outcome: 'committed' });
      const { stdout } = await scene.board.waitFor(
        'curl -sf http://127.0.0.1:8080/',
        ({ status }) => status === 0,
      );
      expect(stdout).toContain(says);
    },
    1_200_000,
  );
});
