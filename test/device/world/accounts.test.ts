import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { App } from '../../../src/image/appc/types.ts';
import { readAccounts } from '../../../src/device/world/accounts.ts';

const app = (user: string, group: string): App => ({
  exec: ['/bin/true'],
  user,
  group,
  supplementaryGids: [],
  eventHandlers: [],
  workingDirectory: '/',
  environment: [],
  isolators: [],
  mountPoints: [],
  ports: [],
});

describe('[A3.9] [A10.9] the accounts of an image', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'accounts-'));
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/passwd'), 'web:x:33:33::/:/bin/sh\n');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('are read from its own files; a missing file is empty', async () => {
    expect(await readAccounts([root], [])).toMatchObject({ passwd: 'web:x:33:33::/:/bin/sh\n', group: '' });
  });

  it('include the owner of a file that names the user, without following links', async () => {
    writeFileSync(join(root, 'inspect'), '');
    symlinkSync('/etc', join(root, 'link'));
    const { owners } = await readAccounts(
      [root],
      [app('/inspect', '/link/passwd'), app('/../etc', '/missing')],
    );
    expect([...owners.keys()]).toEqual(['/inspect']);
  });

  it('are never those of the host: a link in place of /etc or the file is ignored', async () => {
    rmSync(join(root, 'etc'), { recursive: true });
    symlinkSync('/etc', join(root, 'etc'));
    expect(await readAccounts([root], [])).toMatchObject({ passwd: '', group: '' });
    rmSync(join(root, 'etc'));
    mkdirSync(join(root, 'etc'));
    symlinkSync('/etc/passwd', join(root, 'etc/passwd'));
    expect(await readAccounts([root], [])).toMatchObject({ passwd: '' });
  });

  it('are not read if they are too large', async () => {
    writeFileSync(join(root, 'etc/passwd'), 'x'.repeat(300_000));
    expect(await readAccounts([root], [])).toMatchObject({ passwd: '' });
  });
});
