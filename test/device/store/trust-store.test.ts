import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  removeKeys,
  requireRoom,
  storedCopies,
  storedKeys,
  storeKeys,
} from '../../../src/device/store/index.ts';

let directory: string;
let places: { local: string; system: string };
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-trust-'));
  places = { local: join(directory, 'local'), system: join(directory, 'system') };
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const fleetKey = { scope: { kind: 'deploy' }, name: 'fleet', armored: 'D' } as const;

const put = (path: string, content: string): void => {
  mkdirSync(join(directory, path, '..'), { recursive: true });
  writeFileSync(join(directory, path), content);
};

describe('[A9.16] the keys that a device trusts (rkt has such stores: Documentation/signing-and-verification-guide.md)', () => {
  it('are in two stores, for commands, for any image, or for images below a name', () => {
    put('local/deploy/fleet.asc', 'D');
    put('local/images/root.d/all.asc', 'R');
    put('system/images/prefix.d/example.com/web/team.asc', 'P');
    put('local/images/root.d/README', 'no key');
    expect(storedKeys(places)).toEqual([
      { scope: { kind: 'deploy' }, name: 'fleet', store: 'local', masked: false, armored: 'D' },
      { scope: { kind: 'root' }, name: 'all', store: 'local', masked: false, armored: 'R' },
      {
        scope: { kind: 'prefix', prefix: 'example.com/web' },
        name: 'team',
        store: 'system',
        masked: false,
        armored: 'P',
      },
    ]);
  });

  it('an empty file of the local store masks a key of the system, at its own place only', () => {
    put('system/images/root.d/a.asc', 'A');
    put('system/images/prefix.d/example.com/a.asc', 'A');
    put('local/images/root.d/a.asc', '\n');
    expect(storedKeys(places).map(({ scope, masked, armored }) => [scope.kind, masked, armored])).toEqual([
      ['root', true, ''],
      ['prefix', false, 'A'],
    ]);
  });

  it('a key of the local store hides one of the same name', () => {
    put('system/deploy/fleet.asc', 'old');
    put('local/deploy/fleet.asc', 'new');
    expect(storedKeys(places)).toMatchObject([{ store: 'local', armored: 'new' }]);
  });

  it('are stored whole and removed: a local one is deleted, a system one masked', async () => {
    const scope = { kind: 'prefix', prefix: 'example.com/web' } as const;
    expect(await storeKeys(places.local, [{ scope, name: 'aa', armored: 'A' }])).toEqual([
      join(places.local, 'images/prefix.d/example.com/web/aa.asc'),
    ]);
    put('system/images/root.d/bb.asc', 'B');
    await removeKeys(places, storedKeys(places));
    expect(storedKeys(places)).toMatchObject([{ name: 'bb', masked: true }]);
    expect(readFileSync(join(places.local, 'images/root.d/bb.asc'), 'utf8')).toBe('');
  });

  it('[C278] that were hidden by a removed one are masked, not trusted again', async () => {
    put('system/deploy/fleet.asc', 'old');
    put('local/deploy/fleet.asc', 'new');
    await removeKeys(places, storedKeys(places));
    expect(storedKeys(places)).toMatchObject([{ name: 'fleet', store: 'system', masked: true }]);
  });

  it.each([0, 1, 2])(
    '[C249] are stored in order when the process dies before rename %i, and repeating stores all',
    async (survived) => {
      const keys = ['a', 'b', 'c'].map((name) => ({ ...fleetKey, name, armored: name }));
      let renamed = 0;
      const dies: typeof renameSync = (from, to) => {
        if (renamed++ === survived) throw new Error('killed');
        renameSync(from, to);
      };
      await expect(storeKeys(places.local, keys, dies)).rejects.toThrow('killed');
      const stored = () => storedKeys(places).map(({ armored }) => armored);
      expect(stored()).toEqual(['a', 'b', 'c'].slice(0, survived));
      await storeKeys(places.local, keys);
      expect(stored()).toEqual(['a', 'b', 'c']);
      expect(readdirSync(join(places.local, 'deploy'))).toHaveLength(3);
    },
  );

  it('are refused early below a directory that accepts none', async () => {
    await expect(storeKeys('/proc', [fleetKey])).rejects.toThrow(
      '/proc/deploy cannot be made: the directory /proc takes no directories; name another place',
    );
  });

  it('are refused if a directory has the name, and none of them is stored', async () => {
    put('local/deploy/fleet.asc/inside', '');
    await expect(storeKeys(places.local, [{ ...fleetKey, name: 'first' }, fleetKey])).rejects.toThrow(
      `${join(places.local, 'deploy/fleet.asc')}: it is a directory; name a file`,
    );
    expect(readdirSync(join(places.local, 'deploy'))).toEqual(['fleet.asc']);
  });

  it('files larger than keys are not read', () => {
    put('local/deploy/large.asc', 'x'.repeat(256 * 1024 + 1));
    expect(() => storedKeys(places)).toThrow(/has at most 262144/);
    rmSync(join(directory, 'local/deploy/large.asc'));
    put('large', 'x'.repeat(256 * 1024 + 1));
    symlinkSync('../../large', join(directory, 'local/deploy/link.asc'));
    expect(() => storedKeys(places)).toThrow(/link\.asc has .* has at most 262144/);
  });

  it('a directory is part of a name, even if it ends like a file of keys', () => {
    put('local/images/prefix.d/example.com/tools.asc/team.asc', 'T');
    put('local/deploy/old.asc/README', 'moved here');
    expect(storedKeys(places)).toMatchObject([
      { scope: { kind: 'prefix', prefix: 'example.com/tools.asc' }, name: 'team', armored: 'T' },
    ]);
  });

  it.each<[string, (path: string) => void, string]>([
    ['a link to nothing', (path) => symlinkSync('nothing', path), 'no such file or directory'],
    ['a link to itself', (path) => symlinkSync(path, path), 'symbolic links form a loop'],
    // Opening it would block wherryd until somebody writes to it.
    ['a named pipe', (path) => execFileSync('mkfifo', [path]), 'it is not a regular file'],
    ['a link to a device', (path) => symlinkSync('/dev/zero', path), 'it is not a regular file'],
  ])('%s is refused by its path, because it may stand for a revocation', (_what, make, reason) => {
    put('local/deploy/fleet.asc', 'D');
    const path = join(directory, 'local/deploy/other.asc');
    make(path);
    for (const read of [storedKeys, storedCopies]) {
      expect(() => read(places)).toThrow(
        expect.objectContaining({ code: 'config-invalid', message: `${path}: ${reason}` }) as Error,
      );
    }
  });
});

describe('[A9.23] the copies of a key, wherever it is trusted', () => {
  it('are the text of every file once, hidden and masked ones included', () => {
    put('local/deploy/fleet.asc', 'D');
    put('local/images/root.d/fleet.asc', 'D');
    put('local/images/root.d/hidden.asc', 'NEW');
    put('system/images/root.d/hidden.asc', 'OLD');
    put('local/images/prefix.d/example.com/masked.asc', '');
    put('system/images/prefix.d/example.com/masked.asc', 'MASKED');
    expect([...storedCopies(places)].sort()).toEqual(['D', 'MASKED', 'NEW', 'OLD']);
  });

  it('are bounded, because every signature is verified with them', () => {
    for (let index = 0; index < 65; index++) put(`local/deploy/${index}.asc`, `key ${index}`);
    expect(() => storedCopies(places)).toThrow(/65 files .* 64 files .* are the limit; remove keys/);
  });

  it('have no room for a key that would make them unreadable [C249]', () => {
    for (let index = 0; index < 64; index++) put(`local/deploy/${index}.asc`, `key ${index}`);
    const key = (name: string) => ({ scope: { kind: 'deploy' as const }, name, armored: 'another' });
    requireRoom(places, [key('63')]); // the key replaces one
    expect(() => requireRoom(places, [key('new')])).toThrow(
      expect.objectContaining({
        code: 'input-invalid',
        message: expect.stringMatching(/^the key stores would hold 65 files .* remove keys/) as string,
      }) as Error,
    );
  });
});
