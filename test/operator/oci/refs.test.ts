import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromOci } from '../../../src/operator/oci/index.ts';
import { file, tar } from '../../support/raw-tar.ts';
import { madeImage } from './made-image.ts';
import { registryAccess } from './registry-access.ts';

let directory: string;
const at = (...names: string[]): string => join(directory, ...names);

beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'wherry-refs-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const convert = (source: string) =>
  fromOci({
    ...{ source, output: at('app.aci'), compression: 'gzip', name: 'example.com/app', labels: [] },
    ...{ registry: registryAccess, onLayer: () => undefined },
  });

/**
 * A layout as acbuild 0.4 creates it with "acbuild begin --build-mode=oci" (containers/build#292).
 */
function acbuildLayout(...names: readonly string[]): string {
  const layout = at('image');
  for (const [number, name] of names.entries()) {
    const made = madeImage(tar(file(`of-${name}`, String(number))));
    made.write(layout);
    mkdirSync(join(layout, 'refs'), { recursive: true });
    const [descriptor] = made.index['manifests'] as readonly object[];
    writeFileSync(join(layout, 'refs', name), JSON.stringify(descriptor));
  }
  rmSync(join(layout, 'index.json'));
  return layout;
}

/** "acbuild write" writes a gzip tar without ./ before the names (util/files.go, PathWalker). */
function written(layout: string): string {
  execFileSync('tar', ['-czf', at('written.oci'), '-C', layout, ...readdirSync(layout)]);
  return at('written.oci');
}

describe('a layout with refs/ instead of index.json, as acbuild 0.4 writes it', () => {
  it('is converted, as a directory and as an archive', async () => {
    const layout = acbuildLayout('latest');
    const converted = await convert(layout);
    expect((await convert(written(layout))).imageId).toBe(converted.imageId);
  });

  it('with several names requires one of them', async () => {
    const layout = acbuildLayout('latest', 'v2');
    await expect(convert(layout)).rejects.toThrow(/latest.*v2|several/s);
    expect((await convert(`${layout}:v2`)).imageId).not.toBe((await convert(`${layout}:latest`)).imageId);
    await expect(convert(`${layout}:v3`)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('is refused with the name of a file that is not a descriptor', async () => {
    const layout = acbuildLayout('latest');
    writeFileSync(join(layout, 'refs', 'latest'), '[]');
    await expect(convert(layout)).rejects.toThrow('refs/latest: it is not a JSON object');
    writeFileSync(join(layout, 'refs', 'latest'), '{}');
    await expect(convert(written(layout))).rejects.toMatchObject({ code: 'input-invalid' });
  });
});
