import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { startImageServer, type ImageServer } from '../../../../src/operator/dev/image-server.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { sharedLayout } from '../../../support/oci-tools.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let layout: string;
let broker: EmbeddedBroker;
let server: ImageServer;

/** Runs `wherry` with the fleet of this file. */
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const at = (...names: string[]): string => join(directory, ...names);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-layered-'));
  layout = sharedLayout(directory);
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await mkdir(at('fleet/images'), { recursive: true });
  server = await startImageServer({ directory: at('fleet/images'), host: '127.0.0.1', port: 0 });
  expect(await run('fleet', 'init', 'harbour', '--broker', broker.url, '--images', server.url)).toMatchObject(
    { status: 0 },
  );
});

afterAll(async () => {
  await server.close();
  await broker.close();
  await rm(directory, { recursive: true });
});

interface Made {
  readonly file: string;
  readonly id: string;
  readonly warnings: readonly string[];
  readonly layers: readonly {
    readonly file: string;
    readonly name: string;
    readonly id: string;
    readonly wasThere: boolean;
  }[];
}

async function made(tag: string, folder: string, ...more: string[]): Promise<Made> {
  await mkdir(at(folder), { recursive: true });
  const named = [
    '--name',
    `example.com/${tag}`,
    '--layers',
    'example.com/layers',
    '-o',
    at(folder, `${tag}.aci`),
  ];
  const result = await run('image', 'from-oci', `${layout}:${tag}`, ...named, '--json', ...more);
  expect(result).toMatchObject({ status: 0 });
  return JSON.parse(result.out) as Made;
}

describe('an OCI image whose layers are kept', () => {
  it('is signed, deployed and downloaded with them, given as a directory', async () => {
    const { id, layers, warnings } = await made('two', 'images', '--sign');
    expect(warnings).toEqual([]);
    expect(layers.map(({ name }) => name.replace(/[0-9a-f]{64}$/, '…'))).toEqual(
      Array(3).fill('example.com/layers/layer-…'),
    );
    for (const { file } of layers)
      expect(await stat(`${file}.asc`)).toMatchObject({ size: expect.any(Number) as number });
    // Another image in the directory, unused and without a signature.
    await made('base', 'images', '--label', 'version=other');
    const crane = new FakeDevice({ url: broker.url, fleet: 'harbour', device: 'crane-1' }).start();
    try {
      const deployed = await run(
        'deploy',
        'crane-1',
        '--run',
        `app=${at('images/two.aci')}`,
        '--image',
        at('images'),
      );
      expect(deployed).toMatchObject({ status: 0 });
      const wanted = crane.obeyed[0]?.images.map((image) => image.id);
      expect(new Set(wanted)).toEqual(new Set([id, ...layers.map((layer) => layer.id)]));
      expect(crane.downloads).toHaveLength(4);
    } finally {
      await crane.close();
    }
  });

  it('cannot be deployed without one of its layers, nor with an unsigned one', async () => {
    const { layers } = await made('two', 'unsigned');
    const app = at('unsigned/two.aci');
    expect(await run('image', 'sign', app)).toMatchObject({ status: 0 });
    const alone = await run('deploy', 'crane-2', '--run', `app=${app}`);
    expect(alone.err).toMatch(/image-dependency-missing/);
    for (const { file } of layers.slice(1))
      expect(await run('image', 'sign', file)).toMatchObject({ status: 0 });
    const unsigned = await run('deploy', 'crane-2', '--run', `app=${app}`, '--image', at('unsigned'));
    expect(unsigned.status).toBe(65);
    expect(unsigned.err).toContain(`${layers[0]?.file ?? ''} has no signature beside it`);
  });

  it('shares the files of its directory with a second image, and keeps their signature', async () => {
    const first = await made('two', 'both', '--sign');
    const signedAt = async (file = '') => (await stat(`${file}.asc`)).mtimeMs;
    const before = await signedAt(first.layers[0]?.file);
    const second = await made('one', 'both', '--sign');
    expect(second.layers.map(({ wasThere }) => wasThere)).toEqual([true, true, false, false]);
    expect(await signedAt(first.layers[0]?.file)).toBe(before);
    const names = await readdir(at('both'));
    expect(names.filter((name) => name.endsWith('.aci'))).toHaveLength(2 + 5);
    expect(names.filter((name) => name.endsWith('.asc'))).toHaveLength(2 + 5);
  });

  it('lists the layers that it wrote, and which of them remove files', async () => {
    await mkdir(at('told'));
    const named = ['--name', 'example.com/one', '--layers', 'example.com/layers', '-o', at('told/one.aci')];
    const told = await run('image', 'from-oci', `${layout}:one`, ...named);
    expect(told.out.split('\n').filter((line) => /layer-[0-9a-f]{64}\.aci: \d/.test(line))).toHaveLength(4);
    expect(told.err).toMatch(/note: layer 3 removes 3 paths such as "\/srv\/old\/below"/);
  });

  it('is rendered to one image by "image render", with the directory of its layers', async () => {
    await made('one', 'rendered');
    const rendered = [
      'image',
      'render',
      at('rendered/one.aci'),
      '--with',
      at('rendered'),
      '-o',
      at('whole.aci'),
      '--json',
    ];
    const flat = [
      'image',
      'from-oci',
      `${layout}:one`,
      '--name',
      'example.com/one',
      '-o',
      at('flat.aci'),
      '--json',
    ];
    const [one, other] = [await run(...rendered), await run(...flat)];
    expect(JSON.parse(one.out)).toMatchObject({ id: (JSON.parse(other.out) as Made).id });
  });

  it('is reported as missing in a directory without images', async () => {
    await mkdir(at('empty'));
    const refused = await run(
      'deploy',
      'crane-2',
      '--run',
      `app=${at('images/two.aci')}`,
      '--image',
      at('empty'),
    );
    expect(refused.err).toMatch(/there is no \.aci file in the directory .*\(not-found\)/);
  });
});
