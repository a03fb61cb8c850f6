import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { asLocalRefusal, isRefusal, Refusal } from '../../../src/core/refusal/index.ts';

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

  it('is found behind what was said first', () => {
    const cause = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
    const said = new Refusal('image-build-failed', 'the file takes no more bytes', { cause });
    expect(asLocalRefusal(said, 'a.aci')).toMatchObject({
      code: 'no-space',
      message: 'a.aci: the disk is full',
    });
  });

  it('is not what the network did', async () => {
    const [error] = (await once(
      connect(1, '127.0.0.1').on('error', () => undefined),
      'error',
    )) as [Error];
    expect(isRefusal(asLocalRefusal(error, 'a'))).toBe(false);
  });
});
