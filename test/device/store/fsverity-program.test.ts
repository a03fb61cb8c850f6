import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseImageId } from '../../../src/image/appc/index.ts';
import { futureDigest, imageStore, nodeDisk, programVerity } from '../../../src/device/store/index.ts';
import { objectBytes } from '../../support/object-bytes.ts';

let directory = '';
const at = (name: string): string => join(directory, name);

/** A program that prints `words` and exits with `status`, like fsverity. */
function saying(status: number, words: string): string {
  writeFileSync(
    at('fsverity'),
    `#!/bin/sh\n[ ${status} = 0 ] || exec >&2\nprintf '%s\\n' '${words}'\nexit ${status}\n`,
  );
  chmodSync(at('fsverity'), 0o755);
  return at('fsverity');
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-verity-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const digest = `sha256:${'ab'.repeat(32)}`;
const enabling = (words: string): string => `ERROR: FS_IOC_ENABLE_VERITY failed on x: ${words}`;
const measuring = (words: string): string => `ERROR: FS_IOC_MEASURE_VERITY failed on x: ${words}`;

describe('the output of the program fsverity', () => {
  it.each([
    ['of an unsealed file means that it could be sealed', 1, measuring('No data available'), undefined],
    ['of a file system without it', 1, measuring('Operation not supported'), /no fs-verity: it needs ext4/],
    ['of one that never heard of it', 1, measuring('Inappropriate ioctl for device'), /no fs-verity/],
    ['that is unknown is told as it is', 1, 'ERROR: something else', /something else/],
  ])('%s', async (_, status, words, lack) => {
    const found = await programVerity(saying(status, words)).lack(directory);
    if (lack === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(lack);
  });

  it('is missing without the package, which the reason names', async () => {
    const verity = programVerity(at('nothing'));
    expect(await verity.lack(directory)).toMatch(/install the package fsverity/);
    expect(await verity.measure(at('x'))).toMatchObject({ kind: 'unknown' });
    expect(await futureDigest(at('x'), at('nothing'))).toBeUndefined();
    await expect(verity.seal(at('x'))).rejects.toThrow(/is missing/);
  });

  it('of a sealed file is its digest', async () => {
    expect(await programVerity(saying(0, `${digest} /x`)).measure('/x')).toEqual({ kind: 'sealed', digest });
  });

  it.each([
    ['open', measuring('No data available')],
    ['open', measuring('Operation not supported')],
    ['unknown', measuring('Cannot allocate memory')],
  ])('of a file is %s after: %s', async (kind, words) => {
    expect(await programVerity(saying(1, words)).measure('/x')).toMatchObject({ kind });
  });

  it('is refused as a digest if it does not have the form of one', async () => {
    expect(await programVerity(saying(0, 'sha256:abc /x')).measure('/x')).toMatchObject({ kind: 'unknown' });
  });

  it('of a sealed file is not a failure; of a file open for writing it is', async () => {
    await programVerity(saying(1, enabling('File exists'))).seal('/x');
    await expect(programVerity(saying(1, enabling('Text file busy'))).seal('/x')).rejects.toThrow(/busy/);
  });
});

/**
 * A private file system that seals, if this machine permits it: root, loop devices,
 * CONFIG_FS_VERITY.
 */
const mounted = ((): string | undefined => {
  if (process.getuid?.() !== 0 || !existsSync('/sys/fs/ext4/features/verity')) return undefined;
  const home = mkdtempSync(join(tmpdir(), 'wherry-ext4-'));
  try {
    const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: 'ignore' });
    run('fsverity', '--version');
    run('truncate', '-s', '64M', join(home, 'image'));
    run('mkfs.ext4', '-q', '-O', 'verity', join(home, 'image'));
    mkdirSync(join(home, 'root'));
    run('mount', '-o', 'loop', join(home, 'image'), join(home, 'root'));
    return home;
  } catch {
    rmSync(home, { recursive: true, force: true });
    return undefined;
  }
})();

describe.skipIf(mounted === undefined)('an object on a file system of this machine that seals', () => {
  const root = join(mounted ?? '', 'root');
  const bytes = objectBytes(20);
  beforeAll(() => mkdirSync(join(root, 'images')));
  afterAll(() => {
    execFileSync('umount', [root]);
    rmSync(mounted ?? '', { recursive: true });
  });

  it('is sealed with the digest that was computed before', async () => {
    const verity = programVerity();
    expect(await verity.lack(root)).toBeUndefined();
    writeFileSync(join(root, 'object.erofs'), bytes);
    const promised = await futureDigest(join(root, 'object.erofs'));
    const store = imageStore(nodeDisk(), join(root, 'images'), { verity, seals: true });
    const image = {
      id: parseImageId(`sha512-${'0'.repeat(128)}`),
      name: 'example.com/app',
      sizeBytes: bytes.length,
      sha256: '',
      manifest: new Uint8Array(),
    };
    const stored = await store.commit(join(root, 'object.erofs'), image, promised);
    expect(stored.verity).toBe(promised);
    expect(await store.verifyCheaply(stored)).toBeUndefined();
    expect(() => closeSync(openSync(store.pathOf(image.id), 'r+'))).toThrow(/EPERM/);
  });
});

describe.skipIf(!existsSync('/usr/bin/fsverity'))('the digest of a file that is not sealed yet', () => {
  it('covers the whole content, as measured by the kernel', async () => {
    writeFileSync(at('file'), Buffer.alloc(4096 * 3, 7));
    // The output of fsverity-utils 1.5 for these bytes.
    const expected = 'sha256:248ffec2049b963a4eef11d47334f3eea10e6a7be93c656765b593b6f704cf19';
    expect(await futureDigest(at('file'))).toBe(expected);
    writeFileSync(at('file'), Buffer.alloc(4096 * 3 - 1, 7));
    expect(await futureDigest(at('file'))).not.toBe(expected);
  });
});
