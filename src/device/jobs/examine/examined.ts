import type { DesiredState } from '../../../wire/trust/index.ts';

/** The content of an accepted message. */
export interface Examined {
  /** `outside`: for a share of the group without this device (`Verdict`). */
  readonly outcome: 'new' | 'same' | 'outside';
  readonly desired: DesiredState;
  readonly payloadSha256: string;
  /** Fingerprints of the keys that signed. */
  readonly signedBy: readonly string[];
  /** The era of versions in which it was examined (`DeployEra`); absent without one. */
  readonly era?: number;
}
