import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { file, type RawEntry, tar } from '../../support/raw-tar.ts';
import { type Run, wherry } from '../../support/recording-terminal.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-hostile-'));
  mkdirSync(join(directory, 'inside'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const layer = tar(file('hello', 'x'));
const config = JSON.stringify({
  architecture: 'arm64',
  os: 'linux',
  config: { Entrypoint: ['/hello'] },
  rootfs: { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`] },
});
const entry = (name: string, body: string | Buffer): RawEntry => ({ name, body });

/** The result of `wherry image from-oci` for a `docker save` archive with these files. */
async function convert(...entries: readonly RawEntry[]): Promise<Run> {
  const saved = join(directory, 'inside/saved.tar');
  writeFileSync(saved, tar(...entries));
  const output = join(directory, 'inside/out.aci');
  return await wherry(['image', 'from-oci', saved, '--name', 'example.com/app', '-o', output]);
}

const manifest = (configName: string, layers: readonly string[]): RawEntry =>
  entry('manifest.json', JSON.stringify([{ Config: configName, RepoTags: ['app:1'], Layers: layers }]));

describe('[A10.10] hostile names in an archive of docker save (docker2aci: CVE-2016-7569, CVE-2016-8579)', () => {
  it('are accepted if they are harmless', async () => {
    const converted = await convert(
      entry('c.json', config),
      entry('1/layer.tar', layer),
      manifest('c.json', ['1/layer.tar']),
    );
    expect(converted).toMatchObject({ status: 0 });
  });

  it.each(['../../../../../../etc/passwd', '/etc/passwd', '../inside/saved.tar'])(
    'lead to no file of this machine: %s',
    async (name) => {
      for (const entries of [
        [entry('c.json', config), manifest('c.json', [name])],
        [entry('1/layer.tar', layer), manifest(name, ['1/layer.tar'])],
      ]) {
        const refused = await convert(...entries);
        expect(refused).toMatchObject({
          status: 64,
          err: expect.stringContaining(`it has no "${name}"`) as string,
        });
        expect(readdirSync(join(directory, 'inside'))).toEqual(['saved.tar']);
      }
    },
  );

  it('write nothing outside, for any names of the entries', async () => {
    const converted = await convert(
      entry('../escaped', 'x'),
      entry('c.json', config),
      entry('../1/layer.tar', layer),
      manifest('c.json', ['../1/layer.tar']),
    );
    // The name is found because it is a name and not a path. The file was written under a generated
    // name.
    expect(converted).toMatchObject({ status: 0 });
    expect(readdirSync(directory)).toEqual(['inside']);
    expect(existsSync(join(directory, '..', 'escaped'))).toBe(false);
  });

  it('may name each other as parents in a circle, which is not followed', async () => {
    const parents = ['a', 'b'].map((id, index) =>
      entry(`${id}/json`, JSON.stringify({ id, parent: ['b', 'a'][index] })),
    );
    const repositories = entry('repositories', JSON.stringify({ app: { latest: 'a' } }));
    const layers = ['a', 'b'].map((id) => entry(`${id}/layer.tar`, layer));
    expect(await convert(repositories, ...parents, ...layers)).toMatchObject({
      status: 64,
      err: expect.stringContaining('not an archive of images') as string,
    });
    const listed = [entry('c.json', config), manifest('c.json', ['a/layer.tar'])];
    expect(await convert(repositories, ...parents, ...layers, ...listed)).toMatchObject({ status: 0 });
  });
});
