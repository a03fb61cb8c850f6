import { storedCopies, storedKeys, type TrustPlaces } from '../store/index.ts';
import type { AcIdentifier } from '../../image/appc/index.ts';
import {
  type ImageKey,
  keysForImage,
  type RootDocument,
  type Signers,
  signersForImage,
  signersOf,
} from '../../wire/trust/index.ts';

/**
 * The keys that were provisioned with the device. They are read at each use, so replacing a file is
 * enough.
 */
export interface TrustFiles {
  /** Armored keys that may command. */
  deployKeys(): string[];
  /** Armored keys that may sign images: all, or those below a name. */
  imageKeys(): ImageKey[];
  /**
   * Every text of both stores, also those that trust nothing: a revocation in any copy of a key
   * holds.
   */
  copies(): readonly string[];
}

/** Reads the keys of both stores; those that are masked do not count. */
export function trustFiles(places: TrustPlaces): TrustFiles {
  const keys = () => storedKeys(places).filter(({ masked }) => !masked);
  return {
    deployKeys: () => keys().flatMap(({ scope, armored }) => (scope.kind === 'deploy' ? [armored] : [])),
    imageKeys: () =>
      keys().flatMap(({ scope, armored }) =>
        scope.kind === 'deploy' ? [] : [{ prefix: scope.kind === 'prefix' ? scope.prefix : null, armored }],
      ),
    copies: () => storedCopies(places),
  };
}

/** Who may do what on this device. */
export interface DeviceTrust {
  /** Who may command. */
  deploy(): Signers;
  /** Who may sign the image of this name. */
  image(name: AcIdentifier): Signers;
  copies(): readonly string[];
}

/**
 * The roles of the root; on a device without one the keys of the directories, of which one is
 * enough.
 */
export function deviceTrust(files: TrustFiles, root: () => RootDocument | undefined): DeviceTrust {
  return {
    deploy: () => {
      const trusted = root();
      return trusted === undefined
        ? { keys: files.deployKeys(), threshold: 1 }
        : signersOf(trusted, 'deploy');
    },
    image: (name) => {
      const trusted = root();
      return trusted === undefined
        ? { keys: keysForImage(name, files.imageKeys()), threshold: 1 }
        : signersForImage(trusted, name);
    },
    copies: () => files.copies(),
  };
}
