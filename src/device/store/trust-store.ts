import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { asLocalRefusal, isRefusal, Refusal } from '../../core/refusal/index.ts';
import { makeDirectory } from '../../core/files/index.ts';

/** The scope of a trusted key: commands, every image, or images below a name. */
export type TrustScope =
  | { readonly kind: 'deploy' }
  | { readonly kind: 'root' }
  | { readonly kind: 'prefix'; readonly prefix: string };

export interface StoredKey {
  readonly scope: TrustScope;
  /** Name of the file; `wherry trust add` uses the fingerprint. */
  readonly name: string;
  /** `system` for one that came with the device's software. */
  readonly store: 'local' | 'system';
  /** Whether it is a key of the system store that an empty file of the local one disables. */
  readonly masked: boolean;
  /** Empty for a masked one. */
  readonly armored: string;
}

/**
 * The key stores: `local` belongs to the operator, `system` came with the device's software and may
 * be read-only.
 */
export interface TrustPlaces {
  readonly local: string;
  readonly system?: string;
}

const directories = { deploy: 'deploy', root: 'images/root.d', prefix: 'images/prefix.d' } as const;

/** Largest file of keys, in bytes. */
const maxKeyFileBytes = 256 * 1024;

/** The limit for all files together, which go into the job of a unit that verifies. */
const maxStore = { files: 64, bytes: 1 << 20 } as const;

/**
 * Every key of both stores. A file of the local store hides the one of the same name in the system
 * store; an empty one disables it, as in rkt.
 *
 * @throws Refusal `config-invalid` for a file that cannot be read
 */
export function storedKeys({ local, system }: TrustPlaces): readonly StoredKey[] {
  const mine = keyFiles(local);
  const theirs = system === undefined ? [] : keyFiles(system);
  const localBy = new Map(mine.map((file) => [file.path, file]));
  return [
    ...mine.filter(({ armored }) => armored.trim() !== '').map((file) => keyOf(file, 'local', false)),
    ...theirs.flatMap((file) => {
      const over = localBy.get(file.path);
      if (over === undefined) return [keyOf(file, 'system', false)];
      return over.armored.trim() === '' ? [keyOf({ ...file, armored: '' }, 'system', true)] : [];
    }),
  ];
}

/**
 * The text of every file of both stores, once, including hidden and masked files. A copy gives no
 * trust, but a revocation in any copy of a key is effective wherever the key is trusted.
 *
 * @throws Refusal `config-invalid` for a file that cannot be read, and for more files or bytes than
 *   the limit
 */
export function storedCopies(places: TrustPlaces): readonly string[] {
  const { texts, excess } = copiesIn(places);
  if (excess !== undefined) throw new Refusal('config-invalid', `the key stores hold ${excess}`);
  return texts;
}

/**
 * Checks that the stores can still be read when they have these keys, too.
 * @throws Refusal `input-invalid`
 */
export function requireRoom(places: TrustPlaces, keys: readonly NewKey[]): void {
  const { excess } = copiesIn(places, keys);
  if (excess !== undefined) throw new Refusal('input-invalid', `the key stores would hold ${excess}`);
}

/** The texts of both stores with the new keys, and by how much they are too many. */
function copiesIn(
  { local, system }: TrustPlaces,
  keys: readonly NewKey[] = [],
): { readonly texts: readonly string[]; readonly excess?: string } {
  const mine = new Map(keyFiles(local).map(({ path, armored }) => [path, armored]));
  for (const { scope, name, armored } of keys) mine.set(pathOf(scope, name), armored);
  const theirs = system === undefined ? [] : keyFiles(system).map(({ armored }) => armored);
  const texts = [...new Set([...mine.values(), ...theirs])].filter((armored) => armored.trim() !== '');
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  if (texts.length <= maxStore.files && bytes <= maxStore.bytes) return { texts };
  const limit = `${maxStore.files} files and ${maxStore.bytes} bytes are the limit`;
  return {
    texts,
    excess: `${texts.length} files of ${bytes} bytes; ${limit}; remove keys that are not needed`,
  };
}

/** A key to store. */
export type NewKey = Pick<StoredKey, 'scope' | 'name' | 'armored'>;

/**
 * Writes keys to the local store: all of them or, if one cannot be written, none. Each file appears
 * complete, but is not synced: its operator is present. A process that is killed may leave the
 * first keys and not the last; to repeat it stores all.
 * @param rename the last step of each file, in the order of `keys`
 * @returns the paths
 */
export async function storeKeys(
  local: string,
  keys: readonly NewKey[],
  rename = renameSync,
): Promise<readonly string[]> {
  const files = keys.map(({ scope, name, armored }) => ({ path: join(local, pathOf(scope, name)), armored }));
  for (const [at, { path, armored }] of files.entries()) {
    try {
      await makeDirectory(dirname(path));
      // The only reason for which the renames below would fail.
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
        throw new Refusal('input-invalid', `${path}: it is a directory; name a file`);
      writeFileSync(`${path}.new`, armored, { mode: 0o644 });
    } catch (error) {
      for (const written of files.slice(0, at + 1)) rmSync(`${written.path}.new`, { force: true });
      throw asLocalRefusal(error, path);
    }
  }
  for (const { path } of files) rename(`${path}.new`, path);
  return files.map(({ path }) => path);
}

/**
 * Disables keys: local ones are deleted, those of the system store are masked. So are those that a
 * local one hides: without it they would be trusted.
 */
export async function removeKeys({ local, system }: TrustPlaces, keys: readonly StoredKey[]): Promise<void> {
  const isInSystem = ({ scope, name }: NewKey) =>
    system !== undefined && existsSync(join(system, pathOf(scope, name)));
  const deleted = keys.filter((key) => !isInSystem(key));
  // First what may fail, for example on a full disk.
  await storeKeys(
    local,
    keys.filter(isInSystem).map((key) => ({ ...key, armored: '' })),
  );
  for (const { scope, name } of deleted) rmSync(join(local, pathOf(scope, name)), { force: true });
}

function pathOf(scope: TrustScope, name: string): string {
  const below = scope.kind === 'prefix' ? join(directories.prefix, scope.prefix) : directories[scope.kind];
  return join(below, `${name}.asc`);
}

interface KeyFile {
  /** Below the store. */
  readonly path: string;
  readonly scope: TrustScope;
  readonly name: string;
  readonly armored: string;
}

function keyOf({ scope, name, armored }: KeyFile, store: StoredKey['store'], masked: boolean): StoredKey {
  return { scope, name, store, masked, armored };
}

function keyFiles(store: string): readonly KeyFile[] {
  return (['deploy', 'root', 'prefix'] as const).flatMap((kind) => {
    const directory = join(store, directories[kind]);
    return names(directory).map((file): KeyFile => {
      const parts = file.split('/');
      const name = (parts.pop() ?? '').replace(/\.asc$/, '');
      const scope: TrustScope = kind === 'prefix' ? { kind, prefix: parts.join('/') } : { kind };
      return { path: pathOf(scope, name), scope, name, armored: readKey(join(directory, file)) };
    });
  });
}

/**
 * Paths of key files below the directory. A directory is never a key file, even if its name ends in
 * `.asc`: in `prefix.d` it is a part of the name of an image.
 */
function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true, encoding: 'utf8' })
      .filter((entry) => entry.name.endsWith('.asc') && !entry.isDirectory())
      .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new Refusal('config-invalid', `the keys in ${directory} cannot be read`, { cause: error });
  }
}

/**
 * A file that cannot be read is not skipped: it may hold a revocation. A pipe is not opened,
 * because that would wait for a writer.
 */
function readKey(path: string): string {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new Refusal('config-invalid', `${path}: it is not a regular file`);
    if (status.size > maxKeyFileBytes) {
      throw new Refusal(
        'config-invalid',
        `${path} has ${status.size} bytes; a file of keys has at most ${maxKeyFileBytes}`,
      );
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    const refusal = asLocalRefusal(error, path);
    throw isRefusal(refusal) ? new Refusal('config-invalid', refusal.message, { cause: error }) : error;
  }
}
