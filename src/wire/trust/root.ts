import type { AcName } from '../../image/appc/index.ts';

/**
 * Who may do what in a fleet: the root of trust. Each version names the keys for later decisions
 * and is signed by the keys of the role `root`, its own and those of the version before (TUF 1.0.34
 * §5.3). It carries the certificates themselves, so nothing else has to reach a device.
 */
export interface RootDocument {
  readonly format: 1;
  readonly fleet: AcName;
  /** 1 … 2^53-1. A device accepts each version after the one before, and none twice. */
  readonly version: number;
  /** Seconds since 1970. */
  readonly issued: number;
  /** Seconds since 1970. Afterwards a device accepts a newer root, and no new desired state. */
  readonly expires: number;
  /**
   * Armored OpenPGP certificates, each under the fingerprint of its primary key (lower-case hex).
   */
  readonly keys: Readonly<Record<string, string>>;
  /**
   * `root`, `deploy`, `images` (any image), `images/<prefix>` (images of this name and below it).
   */
  readonly roles: Readonly<Record<string, Role>>;
}

export interface Role {
  /** Fingerprints in `keys`, each once. */
  readonly keys: readonly string[];
  /** How many of them must sign. 1 … the number of keys. */
  readonly threshold: number;
}

/** The certificates of a role, and how many of them must sign. */
export interface Signers {
  /** Armored. */
  readonly keys: readonly string[];
  readonly threshold: number;
}
