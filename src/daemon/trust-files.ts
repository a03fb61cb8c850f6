import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Refusal } from '../refusal/index.ts';
import type { ImageKey } from '../trust/index.ts';

/** The keys that were provisioned with the device. They are read anew for each use, so replacing a file is enough. */
export interface TrustFiles {
  /** Armored keys that may command: `deploy/*.asc`. */
  deployKeys(): string[];
  /** Armored keys that may sign images: `images/root.d/*.asc` for all names, `images/prefix.d/<prefix>/*.asc`. */
  imageKeys(): ImageKey[];
}

/** Reads the keys below `directory` (`/etc/wherry/trust`). */
export function trustFiles(directory: string): TrustFiles {
  return {
    deployKeys: () => keyFiles(join(directory, 'deploy')).map(readKey),
    imageKeys: () => {
      const prefixes = join(directory, 'images/prefix.d');
      return [
        ...keyFiles(join(directory, 'images/root.d')).map((path) => ({
          prefix: null,
          armored: readKey(path),
        })),
        ...keyFiles(prefixes).map((path) => ({
          prefix: relative(prefixes, path).split('/').slice(0, -1).join('/'),
          armored: readKey(path),
        })),
      ];
    },
  };
}

function keyFiles(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.asc'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new Refusal('config-invalid', `the keys in ${directory} cannot be read`, { cause: error });
  }
}

function readKey(path: string): string {
  return readFileSync(path, 'utf8');
}
