import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { sqliteLibrary } from '../../cross/sqlite-library.ts';
import { targets } from '../../cross/targets.ts';
import { freePort } from '../../qemu/free-port.ts';
import { serve, type TestServer } from '../support/test-server.ts';

const npmPackage = '@libsql/linux-arm-gnueabihf';

describe('the library of SQLite', () => {
  let root: string;
  let archive: Buffer;
  let registry: TestServer;

  beforeEach(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'wherry-sqlite-'));
    const content = path.join(root, 'content/package');
    mkdirSync(content, { recursive: true });
    writeFileSync(path.join(content, 'package.json'), JSON.stringify({ name: npmPackage, version: '1.2.3' }));
    writeFileSync(path.join(content, 'index.node'), 'ELF of armhf');
    execFileSync('tar', ['-czf', path.join(root, 'a.tgz'), '-C', path.join(root, 'content'), 'package']);
    archive = readFileSync(path.join(root, 'a.tgz'));
    registry = await serve((request, response) => {
      if (request.url?.endsWith('.tgz') === true) return void response.end(archive);
      const dist = { tarball: `${registry.url}/a.tgz` };
      const versions = { '1.2.3': { name: npmPackage, version: '1.2.3', dist } };
      response.end(JSON.stringify({ name: npmPackage, 'dist-tags': { latest: '1.2.3' }, versions }));
    });
    vi.stubEnv('npm_config_registry', registry.url);
    vi.stubEnv('npm_config_cache', path.join(root, 'npm'));
    vi.stubEnv('NO_PROXY', '127.0.0.1');
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await registry.close();
    rmSync(root, { recursive: true });
  });

  /** The library of a tree whose lock file requires `bytes`. */
  const libraryFor = (bytes: Uint8Array) => {
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    const packages = { [`node_modules/${npmPackage}`]: { version: '1.2.3', integrity } };
    writeFileSync(path.join(root, 'package-lock.json'), JSON.stringify({ packages }));
    return sqliteLibrary(root, path.join(root, 'cache'), targets.armhf);
  };

  it('comes from npm for any architecture, once', async () => {
    expect(await libraryFor(archive)).toEqual({ npmPackage, bytes: Buffer.from('ELF of armhf') });
    await registry.close();
    expect((await libraryFor(archive)).bytes).toEqual(Buffer.from('ELF of armhf'));
  });

  it('fails the build when its bytes are not those of the lock file', async () => {
    await expect(libraryFor(Buffer.from('other'))).rejects.toThrow(
      `npm downloaded ${npmPackage} 1.2.3 with other bytes than package-lock.json requires; check the registry that npm uses.`,
    );
    // Nothing was kept.
    expect((await libraryFor(archive)).bytes).toEqual(Buffer.from('ELF of armhf'));
  });

  it('fails the build with one sentence without a network', async () => {
    vi.stubEnv('npm_config_registry', `http://127.0.0.1:${await freePort()}`);
    await expect(libraryFor(archive)).rejects.toThrow(
      `npm cannot download ${npmPackage} 1.2.3, the SQLite of wherry-operator for armhf (ECONNREFUSED); build where npm reaches its registry, or only other architectures.`,
    );
  });
});
