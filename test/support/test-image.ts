import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { parseAcIdentifier, parseImageId } from '../../src/image/appc/identifiers.ts';
import type { PullJob } from '../../src/device/jobs/pull/pull-job.ts';

/** A directory that is removed after the test, with a path that GnuPG accepts. */
export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'wherry-pull-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Signer {
  readonly publicKey: string;
  sign(bytes: Uint8Array): string;
  remove(): void;
}

/** A GnuPG key in its own home directory. */
export function gnupgSigner(): Signer {
  const home = temporaryDirectory();
  chmodSync(home.path, 0o700);
  const gpg = (args: string[], input?: Uint8Array): string =>
    execFileSync('gpg', ['--homedir', home.path, '--batch', '--quiet', '--passphrase', '', ...args], {
      input,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  gpg(['--quick-gen-key', 'images', 'ed25519', 'sign', 'never']);
  return {
    publicKey: gpg(['--armor', '--export']),
    sign: (bytes) => gpg(['--armor', '--detach-sign'], bytes),
    remove: () => {
      execFileSync('gpgconf', ['--homedir', home.path, '--kill', 'all']);
      home.remove();
    },
  };
}

export interface TestImage {
  readonly aci: Buffer;
  readonly tar: Buffer;
  readonly id: string;
}

export const manifest = {
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/app',
  labels: [
    { name: 'os', value: 'linux' },
    { name: 'arch', value: 'aarch64' },
    { name: 'version', value: '1.0.0' },
  ],
};

export type TestEntry = Partial<Header> & Pick<Header, 'name'> & { body?: Buffer };

/** An ACI of these entries after a manifest. */
export async function testImage(
  options: { manifest?: object; entries?: readonly TestEntry[] } = {},
): Promise<TestImage> {
  const tar = pack();
  const add = ({ body = Buffer.alloc(0), ...header }: TestEntry): void => {
    tar.entry({ mtime: new Date(0), ...header }, body);
  };
  add({ name: 'manifest', body: Buffer.from(JSON.stringify(options.manifest ?? manifest)) });
  add({ name: 'rootfs/', type: 'directory' });
  for (const entry of options.entries ?? []) add(entry);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return imageOf(Buffer.concat(chunks));
}

export function imageOf(tar: Buffer): TestImage {
  const id = `sha512-${createHash('sha512').update(tar).digest('hex')}`;
  return { tar, id, aci: gzipSync(tar, { level: 1 }) };
}

/** The job to pull `image` from `urls`. */
export function jobFor(
  image: TestImage,
  urls: string[],
  keys: string[],
  more: Partial<PullJob['image']> = {},
): PullJob {
  return {
    image: {
      id: parseImageId(image.id),
      name: parseAcIdentifier('example.com/app'),
      labels: [{ name: parseAcIdentifier('version'), value: '1.0.0' }],
      sizeBytes: image.aci.length,
      tarSizeBytes: image.tar.length,
      urls,
      ...more,
    },
    keys,
    architectures: ['aarch64', 'armv7l'],
    limits: {
      maxTarBytes: 1e9,
      maxEntries: 10_000,
      maxRatio: 200,
      minBytesPerSecond: 1,
      maxBytesPerSecond: 0,
    },
    compression: 'none',
    time: { nowSeconds: Math.floor(Date.now() / 1000), clockTrusted: true },
  };
}

/**
 * A replacement for an `mkfs.erofs` that is too old to read a tar: the object is an EROFS
 * superblock, the command-line options, and the tar. Board tests use the real one.
 */
export function fakeBuilder(directory: string, more = ''): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'mkfs.erofs');
  writeFileSync(
    path,
    `#!/usr/bin/env node
const { readFileSync, writeFileSync } = require('node:fs');
${more}
const tar = readFileSync(0);
const args = process.argv.slice(2);
const size = Math.ceil((4096 + tar.length) / 4096) * 4096;
const object = Buffer.alloc(size);
object.writeUInt32LE(0xe0f5e1e2, 1024);
object[1024 + 12] = 12;
object.writeUInt32LE(size / 4096, 1024 + 36);
object.write(args.slice(0, -1).join(' '), 2048);
tar.copy(object, 4096);
writeFileSync(args.at(-1), object);
`,
  );
  chmodSync(path, 0o755);
  return path;
}
