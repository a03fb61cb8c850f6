import type { AcIdentifier } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { TrustedVersion } from './judge.ts';
import { encodeRoot } from './root-codec.ts';
import type { Role, RootDocument, Signers } from './root.ts';

/**
 * Decides whether `next`, whose signatures count, may follow `trusted`. Its expiry is not judged:
 * it may be a step to one that has not expired (TUF 1.0.34 §5.3.10).
 *
 * @throws {Refusal} `wrong-fleet`, `root-older`, `root-conflict`, `root-skipped`.
 */
export function judgeRoot(
  next: RootDocument,
  trusted: RootDocument | undefined,
  fleet: string,
): 'new' | 'same' {
  if (next.fleet !== fleet) {
    throw new Refusal('wrong-fleet', `the root is for fleet ${next.fleet}; this device is of fleet ${fleet}`);
  }
  if (trusted === undefined) return 'new';
  if (next.version < trusted.version) {
    throw new Refusal(
      'root-older',
      `root ${next.version} is older than ${trusted.version}, which this device has trusted`,
    );
  }
  if (next.version === trusted.version) {
    if (Buffer.compare(encodeRoot(next), encodeRoot(trusted)) === 0) return 'same';
    throw new Refusal(
      'root-conflict',
      `root ${next.version} was trusted with other content; make the next version with "wherry trust root rotate"`,
    );
  }
  // Each version is signed by the keys of the one before; that is not proved if one is skipped (TUF
  // 1.0.34 §5.3.5).
  if (next.version !== trusted.version + 1) {
    throw new Refusal(
      'root-skipped',
      `root ${next.version} does not follow ${trusted.version}, which this device has trusted; publish root ${trusted.version + 1} first`,
    );
  }
  return 'new';
}

/** The certificates of a role. */
function signersOfRole(root: RootDocument, { keys, threshold }: Role): Signers {
  return { keys: keys.flatMap((key) => root.keys[key] ?? []), threshold };
}

/** The keys that may sign roots or desired states. */
export function signersOf(root: RootDocument, name: 'root' | 'deploy'): Signers {
  const role = root.roles[name];
  // The decoder has checked that both exist.
  return role === undefined ? { keys: [], threshold: 1 } : signersOfRole(root, role);
}

/**
 * The keys that may sign the image `name`: those of the deepest role whose prefix ends at a `/` of
 * the name, and no other. So a role of a shorter prefix cannot bypass a role with a higher
 * threshold. None when no role fits.
 */
export function signersForImage(root: RootDocument, name: AcIdentifier): Signers {
  const [deepest] = Object.entries(root.roles)
    .filter(([role]) => {
      if (role === 'images') return true;
      const [, prefix] = /^images\/(.*)$/s.exec(role) ?? [];
      return prefix !== undefined && (name === prefix || name.startsWith(`${prefix}/`));
    })
    .sort(([a], [b]) => b.length - a.length);
  return deepest === undefined ? { keys: [], threshold: 1 } : signersOfRole(root, deepest[1]);
}

/** The newest root that removed a key from the role `deploy`. */
export interface DeployEra {
  /** Version of that root. */
  readonly root: number;
  /** When it was issued, in seconds since 1970. */
  readonly issued: number;
}

/**
 * The era after `next` has followed `before`. When a key was removed, an attacker who stole it may
 * have published the highest possible version (fast-forward attack): versions then restart (TUF
 * 1.0.34 §5.3.11).
 */
export function eraAfter(
  next: RootDocument,
  before: { readonly document: RootDocument; readonly era?: DeployEra } | undefined,
): DeployEra | undefined {
  if (before === undefined) return undefined;
  const [was, is] = [before.document.roles['deploy'], next.roles['deploy']];
  const tookOneOut = was?.keys.some((key) => is?.keys.includes(key) !== true) === true;
  return tookOneOut ? { root: next.version, issued: next.issued } : before.era;
}

/** What `trusted` means in `era`: the running content is known, its number no longer counts. */
export function trustedInEra(trusted: TrustedVersion, era: DeployEra | undefined): TrustedVersion {
  if (era === undefined || (trusted.era ?? 0) >= era.root) return trusted;
  return { version: 0, payloadSha256: trusted.payloadSha256, issued: trusted.issued, era: era.root };
}
