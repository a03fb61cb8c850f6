import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { asLocalRefusal, diskRefusal, isRefusal, Refusal } from '../../../src/core/refusal/index.ts';

describe('an error of the file system', () => {
  it.each([
    [
      'a file that is not there',
      () => readFile('/nowhere/file'),
      'not-found',
      '/nowhere/file: no such file or directory',
    ],
    [
      'a directory in place of a file',
      () => readFile('/tmp'),
      'input-invalid',
      'config: it is a directory; name a file',
    ],
    ['a disk that is full', () => writeFile('/dev/full', 'x'), 'no-space', 'config: the disk is full'],
  ])('is a refusal that names the path: %s', async (_, work, code, message) => {
    const error = await work().then(
      () => undefined,
      (cause: unknown) => cause,
    );
    const name = message.startsWith('config') ? 'config' : undefined;
    expect(asLocalRefusal(error, name)).toMatchObject({ code, message });
  });

  const raised = (code: string): Error =>
    Object.assign(new Error(`${code}: words of the system`), { code, syscall: 'write', path: '/disk/file' });

  it.each([
    ['ENOSPC', 'no-space', 'the disk is full', 'free blocks or inodes are needed'],
    ['EDQUOT', 'no-space', 'the disk quota of this user is used up', 'free blocks or inodes are needed'],
    ['EIO', 'disk-failed', 'the disk reports an error', 'check the disk and its mount'],
    ['EROFS', 'disk-failed', 'the file system is mounted read-only', 'check the disk and its mount'],
  ])('%s has one meaning for operator and device', (errno, code, reason, advice) => {
    const error = raised(errno);
    expect(asLocalRefusal(error)).toMatchObject({ code, message: `/disk/file: ${reason}` });
    expect(diskRefusal(error, 'version 7 cannot be saved')).toMatchObject({
      code,
      message: `version 7 cannot be saved: /disk/file: ${reason}; ${advice}`,
    });
  });

  it("in one of wherry's own files is not reported as a user error", () => {
    expect(diskRefusal(raised('ENOENT'), 'version 7 cannot be saved')).toMatchObject({
      code: 'disk-failed',
      message:
        'version 7 cannot be saved: /disk/file: no such file or directory; check the disk and its mount',
    });
    expect(diskRefusal(raised('EUCLEAN'), 'the state cannot be saved')).toMatchObject({
      code: 'disk-failed',
      message: 'the state cannot be saved: EUCLEAN: words of the system; check the disk and its mount',
    });
    expect(diskRefusal(new TypeError('a mistake'), 'the state cannot be saved')).toBeUndefined();
  });

  it('is found among the causes of another error', () => {
    const cause = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
    const said = new Refusal('image-build-failed', 'the file takes no more bytes', { cause });
    expect(asLocalRefusal(said, 'a.aci')).toMatchObject({
      code: 'no-space',
      message: 'a.aci: the disk is full',
    });
  });

  it('is not mistaken for a network error', async () => {
    const [error] = (await once(
      connect(1, '127.0.0.1').on('error', () => undefined),
      'error',
    )) as [Error];
    expect(isRefusal(asLocalRefusal(error, 'a'))).toBe(false);
  });
});
