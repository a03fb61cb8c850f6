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
 * The keys of the trust stores. They are read at each use, so a replaced file takes effect at once.
 */
export interface TrustFiles {
  /** Armored keys that may command. */
  deployKeys(): string[];
  /** Armored keys that may sign images: all, or those below a name. */
  imageKeys(): ImageKey[];
  /**
   * All key files of both stores, hidden and masked ones included: a revocation in any copy is
   * effective.
   */
  copies(): readonly string[];
}

/** Reads the keys of both stores, without masked ones. */
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

/** The keys that may sign commands and images on this device. */
export interface DeviceTrust {
  /** Keys that may sign commands. */
  deploy(): Signers;
  /** Keys that may sign the image of this name. */
  image(name: AcIdentifier): Signers;
  copies(): readonly string[];
}

/**
 * Uses the roles of the root. Without a root, one signature of a key in the directories suffices.
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
