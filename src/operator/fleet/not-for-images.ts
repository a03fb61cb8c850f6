import type { Stats } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { LeaveOut } from '../../image/tree/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { isTemporaryName } from '../build/index.ts';
import { FleetDirectory } from './fleet-directory.ts';

/** The parts of a fleet directory that the commands make. */
const partsOfFleet = ['fleet.toml', 'keys', 'images', 'devices'] as const;

/**
 * A private key or password of the fleet, found by its file under any name, or by its content in
 * any copy.
 */
interface Secret {
  readonly what: string;
  readonly identity: string;
  readonly content: Buffer | undefined;
  /** The body of an armored key, in base64 without line ends. */
  readonly body: string | undefined;
}

/** Larger files are not searched for a copy of a key in another form. */
const maxCopyBytes = 64 * 1024;

/**
 * Decides which files of a source directory do not belong in an image: the fleet in use and any
 * other, the private keys of the fleet in use in any place, the image that is being built, images
 * that were built there before, and temporary files of builds.
 *
 * @param fleetPath the fleet in use; it may not exist
 * @param output the image that is being built
 */
export async function notForImages(fleetPath: string, output: string): Promise<LeaveOut> {
  const secrets = await secretsOf(fleetPath);
  const fleet = await identityOf(fleetPath);
  const isFleet = await isFleetDirectory(fleetPath);
  const outputDirectory = await realpath(dirname(output)).catch(() => resolve(dirname(output)));
  const outputs = ['', '.asc'].map((end) => join(outputDirectory, basename(output) + end));
  const secret = (what: string) => ({ what, isSecret: true });

  return async (file, status) => {
    const identity = identify(status);
    const parent = dirname(file);
    if (status.isDirectory() && (identity === fleet ? isFleet : await isFleetDirectory(file))) {
      return secret('a fleet directory');
    }
    const key = secrets.find((one) => one.identity === identity);
    if (key !== undefined) return secret(key.what);
    // When the image is built from the fleet directory itself.
    const isPart = partsOfFleet.some((part) => part === basename(file));
    if (isPart && (await isFleetDirectory(parent))) return secret('part of a fleet directory');
    if (isTemporaryName(basename(file))) return { what: 'a temporary file of a build', isSecret: false };
    if (!status.isFile()) return undefined;
    const mayBeCopy = secrets.length > 0 && status.size <= maxCopyBytes;
    if (mayBeCopy || secrets.some(({ content }) => content?.length === status.size)) {
      const bytes = await readFile(file);
      const forms = mayBeCopy ? [bytes, ...decoded(bytes)] : [bytes];
      const copied = secrets.find((one) => forms.some((form) => isCopy(form, one)));
      if (copied !== undefined) return secret(`a copy of ${copied.what}`);
    }
    if ((await realpath(parent)) !== outputDirectory) return undefined;
    if (outputs.includes(join(outputDirectory, basename(file)))) {
      return { what: 'the image that is being built', isSecret: false };
    }
    const isEarlier = /\.aci(?:\.asc)?$/.test(file);
    return isEarlier ? { what: 'an image beside the one that is being built', isSecret: false } : undefined;
  };
}

async function secretsOf(fleetPath: string): Promise<readonly Secret[]> {
  const keys = join(fleetPath, 'keys');
  const names = await readdir(keys).catch(() => []);
  const files = names.filter((name) => name.includes('.key.asc')).map((name) => join(keys, name));
  try {
    const { path, config } = await FleetDirectory.open(fleetPath);
    const { key, passwordFile } = config.broker;
    files.push(...[key, passwordFile].flatMap((file) => (file === undefined ? [] : [resolve(path, file)])));
  } catch (error) {
    // No fleet, or one with an invalid fleet.toml: then only the files in keys/ are known.
    if (!isRefusal(error)) throw error;
  }
  const secrets = files.map(async (file): Promise<Secret | undefined> => {
    const identity = await identityOf(file);
    if (identity === undefined) return undefined;
    const content = await readFile(file).catch(() => undefined);
    // An empty file is not a secret; it would match every file.
    return {
      what: `a secret of the fleet (${basename(file)})`,
      identity,
      content: content?.length === 0 ? undefined : content,
      body: content === undefined ? undefined : armoredBody(content),
    };
  });
  return (await Promise.all(secrets)).filter((secret) => secret !== undefined);
}

/**
 * Whether a file is a copy of a secret, or contains an armored one in another form: with other line
 * ends, within other text, escaped in JSON, or without its armor.
 */
function isCopy(file: Buffer, { content, body }: Secret): boolean {
  if (content?.equals(file) === true) return true;
  if (body === undefined) return false;
  if (file.includes(Buffer.from(body, 'base64'))) return true;
  // The first line begins with these characters in every wrapping; only then the whole is compared.
  if (!file.includes(body.slice(0, 16))) return false;
  return file
    .toString('latin1')
    .replace(/\s+|\\[rn]/g, '')
    .includes(body);
}

/**
 * Decodes the Base64 in a file, such as `data` of a Secret of Kubernetes, in one line or wrapped.
 * Its start is unknown, so it is decoded from each of four letters.
 */
function decoded(file: Buffer): readonly Buffer[] {
  const lines = file.toString('latin1').replace(/\s*(?:\n|\\[rn])\s*/g, '');
  return (lines.match(/[A-Za-z0-9+/_-]{64,}/g) ?? []).flatMap((run) =>
    [0, 1, 2, 3].map((at) => Buffer.from(run.slice(at), 'base64')),
  );
}

/** The body of a private key, of PGP (RFC 9580 §6.2) or of PEM (RFC 7468), without its padding. */
function armoredBody(content: Buffer): string | undefined {
  const block =
    /-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----\r?\n(?:[^\n]*: [^\n]*\n)*([A-Za-z0-9+/\r\n]+)/.exec(
      content.toString('latin1'),
    );
  return block?.[1]?.replace(/[\r\n]/g, '');
}

async function isFleetDirectory(path: string): Promise<boolean> {
  const [toml, keys] = await Promise.all([
    identityOf(join(path, 'fleet.toml')),
    identityOf(join(path, 'keys')),
  ]);
  return toml !== undefined && keys !== undefined;
}

async function identityOf(path: string): Promise<string | undefined> {
  const status = await stat(path).catch(() => undefined);
  return status === undefined ? undefined : identify(status);
}

function identify({ dev, ino }: Pick<Stats, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`;
}
