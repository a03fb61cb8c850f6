import { Refusal } from '../../core/refusal/index.ts';
import {
  decodeDraft,
  encodeDraft,
  encodeRoot,
  type Role,
  type RootDocument,
} from '../../wire/trust/index.ts';
import { alreadyVerified, decodeRoot } from '../../wire/trust/index.ts';

/** A root whose signatures are being collected, as stored in its file. */
export interface RootDraft {
  readonly root: RootDocument;
  readonly payload: Uint8Array;
  readonly signatures: readonly string[];
}

/** A certificate, alone and armored, under its fingerprint. */
export interface RoleKey {
  readonly fingerprint: string;
  readonly armored: string;
}

/** A change of one role; absent members stay as they were. */
export interface RoleChange {
  readonly keys?: readonly RoleKey[];
  readonly threshold?: number;
}

/** @throws Refusal `envelope-malformed`, `root-malformed` */
export function readDraft(file: Uint8Array): RootDraft {
  const { payload, signatures } = decodeDraft(file);
  const verified = alreadyVerified(payload, 'own-history');
  return { root: decodeRoot(verified), payload, signatures };
}

export function writeDraft({ payload, signatures }: Pick<RootDraft, 'payload' | 'signatures'>): Uint8Array {
  return encodeDraft({ payload, signatures });
}

/** The unsigned file of `root`. @throws Refusal `root-malformed` */
export function newDraft(root: RootDocument): Uint8Array {
  return encodeDraft({ payload: encodeRoot(root), signatures: [] });
}

/**
 * The root with these changes. It contains the certificates of the root keys before it, so that
 * their signatures can be checked with this file alone.
 *
 * @param before absent for the first one
 * @param drop fingerprints to remove from every role
 * @throws Refusal `input-invalid`, `root-malformed`
 */
export function changeRoot(
  before: RootDocument | undefined,
  terms: Pick<RootDocument, 'fleet' | 'version' | 'issued' | 'expires'>,
  changes: Readonly<Record<string, RoleChange>>,
  drop: readonly string[] = [],
): RootDocument {
  const certificates = new Map(Object.entries(before?.keys ?? {}));
  const roles: Record<string, Role> = {};
  const unused = drop.filter(
    (key) => !Object.values(before?.roles ?? {}).some(({ keys }) => keys.includes(key)),
  );
  if (unused[0] !== undefined) throw new Refusal('input-invalid', `no role has the key ${unused[0]}`);
  for (const name of new Set([...Object.keys(before?.roles ?? {}), ...Object.keys(changes)])) {
    const { keys: given, threshold } = changes[name] ?? {};
    for (const { fingerprint, armored } of given ?? []) certificates.set(fingerprint, armored);
    const was = before?.roles[name];
    const keys = (given?.map(({ fingerprint }) => fingerprint) ?? was?.keys ?? []).filter(
      (key) => !drop.includes(key),
    );
    if (keys.length === 0) throw new Refusal('input-invalid', `the role ${name} would have no key`);
    roles[name] = roleOf(name, [...new Set(keys)], threshold ?? was?.threshold ?? 1);
  }
  const named = new Set([
    ...Object.values(roles).flatMap(({ keys }) => keys),
    ...(before?.roles['root']?.keys ?? []),
  ]);
  const keys = Object.fromEntries([...certificates].filter(([fingerprint]) => named.has(fingerprint)));
  return { format: 1, ...terms, keys, roles };
}

/** @throws Refusal `input-invalid` for a threshold that can never be reached */
function roleOf(name: string, keys: readonly string[], threshold: number): Role {
  if (threshold <= keys.length) return { keys, threshold };
  const few = `${keys.length} ${keys.length === 1 ? 'key' : 'keys'}`;
  throw new Refusal(
    'input-invalid',
    `${threshold} keys of the role ${name} would have to sign, and it would have ${few}: name more keys, or lower its threshold`,
  );
}

/** Who has signed for one set of root keys, and how many more must. */
export interface SigningState {
  /** The version of the root whose keys must sign. */
  readonly version: number;
  readonly signed: readonly string[];
  readonly open: readonly string[];
  readonly missing: number;
}

/**
 * Which signatures are missing before devices accept `root`: of its own keys, and of those of the
 * root before.
 */
export function signingStates(
  root: RootDocument,
  before: RootDocument | undefined,
  signedBy: readonly string[],
): readonly SigningState[] {
  return [root, ...(before === undefined ? [] : [before])].flatMap(({ version, roles }) => {
    const role = roles['root'];
    if (role === undefined) return [];
    const signed = role.keys.filter((key) => signedBy.includes(key));
    const open = role.keys.filter((key) => !signedBy.includes(key));
    return [{ version, signed, open, missing: Math.max(0, role.threshold - signed.length) }];
  });
}
