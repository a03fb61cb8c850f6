import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { admitGroup, groupId } from '../../../src/device/agent/api-socket.ts';

const groups = 'root:x:0:\noperators:x:1004:anna,ben\nbroken:x:\n';

it('finds a group by its whole name', () => {
  expect(groupId(groups, 'operators')).toBe(1004);
  expect(groupId(groups, 'operator')).toBeUndefined();
  expect(groupId(groups, 'broken')).toBeUndefined();
});

it.skipIf(process.getuid?.() !== 0)(
  '[C180] leaves the socket to root if the group does not exist',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'wherry-api-'));
    const lines: string[] = [];
    const journal = { log: (level: string, text: string) => void lines.push(`${level}: ${text}`) };
    try {
      const path = join(directory, 'api.sock');
      await writeFile(path, '');
      await chmod(path, 0o666);
      await admitGroup(path, 'no-such-group', journal);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      await admitGroup(path, 'daemon', journal);
      const { mode, gid } = await stat(path);
      expect([mode & 0o777, gid === 0]).toEqual([0o660, false]);
      await admitGroup(path, undefined, journal);
      expect(await stat(path)).toMatchObject({ uid: 0, gid: 0, mode: 0o100600 });
      await admitGroup(join(directory, 'gone'), undefined, journal);
      expect(lines).toEqual([
        'error: wherry.toml: api.group is no-such-group, which is not a group of this device; the local API answers root alone',
        expect.stringMatching(
          /^warning: the local API cannot be offered: .*ENOENT.*; try "systemctl restart wherry-api.socket wherryd"$/,
        ),
      ]);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
);
