import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/index.ts';
import { checkMountTargets } from '../../../src/device/world/mount-targets.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'image-'));
  mkdirSync(join(root, 'image/directory'), { recursive: true });
  writeFileSync(join(root, 'image/file'), '');
  symlinkSync('/directory', join(root, 'image/link'));
  symlinkSync('file', join(root, 'image/link-to-file'));
  mkdirSync(join(root, 'host'));
  writeFileSync(join(root, 'host-file'), '');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Mounts a volume of the pod. Host volumes are below the temporary directory. */
const check = async (path: string, volume: object): Promise<void> => {
  const manifest = parsePodManifest(
    Buffer.from(
      JSON.stringify({
        ...{ acKind: 'PodManifest', acVersion: '0.8.11', volumes: [{ name: 'data', ...volume }] },
        apps: [
          {
            ...{ name: 'web', image: { id: `sha512-${'ab'.repeat(64)}` } },
            app: { exec: ['/run'], user: '0', group: '0' },
            mounts: [{ volume: 'data', path }],
          },
        ],
      }),
    ),
  );
  const [podApp] = manifest.apps;
  if (podApp?.app === undefined) throw new Error('no app');
  await checkMountTargets([join(root, 'image')], podApp, podApp.app, manifest);
};
const empty = { kind: 'empty' };
const host = (path: string) => ({ kind: 'host', source: join(root, path) });

describe('the place of a volume in an image', () => {
  it.each(['/directory', '/link', '/none', '/file/below'])('may be %s for a directory', async (path) => {
    await check(path, empty);
    await check(path, host('host'));
  });

  it.each(['/file', '/link-to-file', '/none'])('may be %s for a file', async (path) => {
    await check(path, host('host-file'));
  });

  it('is not checked for a missing source', async () => {
    await check('/file', host('missing'));
  });

  it('must not be a file for a directory [C200]', async () => {
    const refusal = {
      code: 'pod-volume-invalid',
      message:
        'app web: the volume data is a directory and the image has something else at /link-to-file; mount the volume elsewhere',
    };
    await expect(check('/link-to-file', empty)).rejects.toMatchObject(refusal);
    await expect(check('/link-to-file', host('host'))).rejects.toMatchObject(refusal);
  });

  it('must not be a directory for a file [C200]', async () => {
    await expect(check('/link', host('host-file'))).rejects.toMatchObject({
      code: 'pod-volume-invalid',
      message:
        'app web: the volume data is not a directory and the image has a directory at /link; mount the volume elsewhere',
    });
  });
});
