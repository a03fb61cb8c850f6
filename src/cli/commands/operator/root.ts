import { readFile } from 'node:fs/promises';
import { isAcIdentifier } from '../../../image/appc/index.ts';
import { fromFile, Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import {
  changeRoot,
  type ChainedRoot,
  FleetDirectory,
  newDraft,
  readDraft,
  replaceFile,
  type RoleChange,
  type RoleKey,
  rootChain,
  type RootDraft,
  signingStates,
  writeDraft,
} from '../../../operator/fleet/index.ts';
import type { RootDocument } from '../../../wire/trust/index.ts';
import { reviewKeys, reviewSignatures } from '../../../wire/trust/openpgp.ts';
import { formatFingerprint } from '../../../wire/trust/sign.ts';
import { withLink, type Context } from '../../context.ts';
import type { RootFlags, SigningFlags } from '../../flags.ts';
import { readPublicKeys } from '../../key-files.ts';
import { signerOf } from '../../signing.ts';

const nowSecondsOf = (context: Context): number => Math.floor(context.clock.nowMs() / 1000);

/** `wherry trust root init` */
export async function initRoot(context: Context, flags: RootFlags): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const newest = (await fleet.roots()).at(-1)?.root.version;
  const version = flags.atVersion ?? 1;
  if (newest !== undefined && version < newest + 2) {
    throw new Refusal(
      'input-invalid',
      `the fleet has root ${newest}; make the next with "wherry trust root rotate", or begin a new chain, for files on devices, with --at-version ${newest + 2} or later`,
    );
  }
  if (flags.rootKey === undefined)
    throw new Refusal(
      'usage',
      'name the keys that sign roots with --root-key FILE; export keys of GnuPG with gpg --armor --export',
    );
  const changes = await changesFrom(context, flags, {
    deploy: [fleet.keyPath('deploy', 'public')],
    images: [fleet.keyPath('images', 'public')],
  });
  const root = changeRoot(undefined, termsOf(context, fleet, version, flags), changes);
  await keepDraft(context, fleet, root, undefined);
}

/** `wherry trust root rotate` */
export async function rotateRoot(context: Context, flags: RootFlags): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const last = (await rootChain(fleet, nowSecondsOf(context))).at(-1);
  if (last === undefined)
    throw new Refusal('not-found', 'the fleet has no root; make one with "wherry trust root init"');
  if (last.refusal !== undefined) {
    throw new Refusal(
      last.refusal.code,
      `root ${last.root.version} is not complete (${last.refusal.message}); sign it, or delete ${fleet.rootPath(last.root.version)}`,
    );
  }
  const changes = await changesFrom(context, flags, {});
  const terms = termsOf(context, fleet, last.root.version + 1, flags);
  const drop = (flags.drop ?? []).map((text) => text.replace(/[\s:]/g, '').toLowerCase());
  await keepDraft(context, fleet, changeRoot(last.root, terms, changes, drop), last.root);
}

/** `wherry trust root sign` */
export async function signRoot(
  context: Context,
  file: string | undefined,
  flags: SigningFlags,
): Promise<void> {
  const sign = signerOf(flags);
  if (sign === undefined)
    throw new Refusal(
      'usage',
      'specify who signs: --signing-key FILE, --gpg FINGERPRINT or --signature FILE',
    );
  const path = file ?? (await newestPath(context));
  const draft = await readRootFile(path);
  const atSeconds = nowSecondsOf(context);
  const keys = file === undefined ? await rootKeysOf(context, draft) : Object.values(draft.root.keys);
  const signed = await addSignature(draft, await sign(draft.payload, atSeconds), atSeconds, keys);
  await replaceFile(path, writeDraft(signed));
  await tell(context, path, signed, undefined);
}

/** `wherry trust root show` */
export async function showRoot(
  context: Context,
  file: string | undefined,
  flags: { readonly payload?: true },
): Promise<void> {
  const path = file ?? (await newestPath(context));
  const draft = await readRootFile(path);
  if (flags.payload === true) {
    // The bytes to sign where this program is not: gpg --armor --detach-sign.
    process.stdout.write(draft.payload);
    return;
  }
  await tell(context, path, draft, file === undefined ? await beforeOf(context, draft) : undefined);
}

/** `wherry trust root publish` */
export async function publishRoots(context: Context): Promise<void> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const chain = await rootChain(fleet, nowSecondsOf(context));
  if (chain.length === 0)
    throw new Refusal('not-found', 'the fleet has no root; make one with "wherry trust root init"');
  const broken = chain.find(({ refusal }) => refusal !== undefined);
  if (broken?.refusal !== undefined) {
    throw new Refusal(
      broken.refusal.code,
      `devices would refuse root ${broken.root.version}: ${broken.refusal.message}; sign it with "wherry trust root sign", or delete ${fleet.rootPath(broken.root.version)} if nobody will`,
    );
  }
  // The first root of a chain is installed from a file: devices do not accept it from the network.
  const steps = chain.filter(({ before }) => before !== undefined);
  if (steps.length === 0) {
    const path = fleet.rootPath(chain.at(-1)?.root.version ?? 1);
    throw new Refusal(
      'input-invalid',
      `devices take the first root from a file: "wherry trust root install ${path}" on a device, or "wherry fleet provision"`,
    );
  }
  await withLink(context, async (link) => {
    const published = [];
    for (const step of steps) {
      const { version } = step.root;
      const { kept } = await link.publishRoot(version, writeDraft(step));
      published.push({ version, kept });
      if (context.json) continue;
      const words = kept
        ? 'published'
        : 'sent; the broker does not return it, so check what this account may write and read';
      context.terminal.out(`root ${version}  ${words}`);
    }
    if (context.json) context.terminal.out(JSON.stringify(published));
  });
}

/**
 * The changes of roles that the options specify.
 * @param defaults files of the roles that they do not name
 */
async function changesFrom(
  context: Context,
  flags: RootFlags,
  defaults: Readonly<Record<string, readonly string[]>>,
): Promise<Record<string, RoleChange>> {
  const files = new Map<string, string[]>(
    Object.entries(defaults).map(([role, paths]) => [role, [...paths]]),
  );
  if (flags.rootKey !== undefined) files.set('root', [...flags.rootKey]);
  if (flags.deployKey !== undefined) files.set('deploy', [...flags.deployKey]);
  const images = new Map<string, string[]>();
  for (const text of flags.imagesKey ?? []) {
    const { role, value } = imageRole(text, '--images-key');
    images.set(role, [...(images.get(role) ?? []), value]);
  }
  for (const [role, paths] of images) files.set(role, paths);
  const thresholds = new Map<string, number>();
  if (flags.rootThreshold !== undefined) thresholds.set('root', flags.rootThreshold);
  if (flags.deployThreshold !== undefined) thresholds.set('deploy', flags.deployThreshold);
  for (const text of flags.imagesThreshold ?? []) {
    const { role, value } = imageRole(text, '--images-threshold');
    if (!/^[1-9]\d?$/.test(value))
      throw new Refusal(
        'usage',
        `--images-threshold takes NUMBER or PREFIX=NUMBER, not ${JSON.stringify(text)}`,
      );
    thresholds.set(role, Number(value));
  }
  const changes: Record<string, RoleChange> = {};
  for (const role of new Set([...files.keys(), ...thresholds.keys()])) {
    const paths = files.get(role);
    const threshold = thresholds.get(role);
    changes[role] = {
      ...(paths === undefined ? {} : { keys: await readRoleKeys(context, paths) }),
      ...(threshold === undefined ? {} : { threshold }),
    };
  }
  return changes;
}

/** `value` is for any image, `prefix=value` for those below a name. */
function imageRole(text: string, option: string): { readonly role: string; readonly value: string } {
  const [, prefix, value = ''] = /^(?:([^=]*)=)?(.+)$/s.exec(text) ?? [];
  if (prefix === undefined) return { role: 'images', value };
  if (!isAcIdentifier(prefix))
    throw new Refusal(
      'usage',
      `${option} takes a prefix such as example.com/web, not ${JSON.stringify(prefix)}`,
    );
  return { role: `images/${prefix}`, value };
}

/**
 * Every key of the files, alone.
 * @throws Refusal `input-invalid` for a key that devices would not use
 */
async function readRoleKeys(context: Context, paths: readonly string[]): Promise<readonly RoleKey[]> {
  const keys: RoleKey[] = [];
  const time = { nowSeconds: nowSecondsOf(context), clockTrusted: true };
  for (const [index, armored] of (await readPublicKeys(paths)).entries()) {
    const { usable, unusable } = await reviewKeys(armored, time);
    const [bad] = unusable;
    if (bad !== undefined)
      throw new Refusal(
        'input-invalid',
        `${paths[index] ?? ''}: ${bad.fingerprint ?? ''} cannot be used: ${bad.reason}`,
      );
    for (const key of usable) keys.push({ fingerprint: key.fingerprint, armored: key.armored });
  }
  return keys;
}

function termsOf(
  context: Context,
  fleet: FleetDirectory,
  version: number,
  { validDays }: RootFlags,
): Pick<RootDocument, 'fleet' | 'version' | 'issued' | 'expires'> {
  const issued = nowSecondsOf(context);
  return { fleet: fleet.config.fleet, version, issued, expires: issued + validDays * 86_400 };
}

async function keepDraft(
  context: Context,
  fleet: FleetDirectory,
  root: RootDocument,
  before: RootDocument | undefined,
): Promise<void> {
  await requireLongLived(context, root);
  const file = newDraft(root);
  const path = await fleet.saveRoot(root.version, file);
  await tell(context, path, readDraft(file), before);
}

/**
 * Refuses a key that expires before the root: the root would still name it when it no longer
 * counts.
 */
async function requireLongLived(context: Context, root: RootDocument): Promise<void> {
  const named = new Set(Object.values(root.roles).flatMap(({ keys }) => keys));
  const time = { nowSeconds: nowSecondsOf(context), clockTrusted: true };
  for (const fingerprint of named) {
    const { usable, unusable } = await reviewKeys(root.keys[fingerprint] ?? '', time);
    const expires = usable[0]?.expires;
    if (unusable[0] !== undefined)
      throw new Refusal('input-invalid', `the key ${fingerprint} cannot be used: ${unusable[0].reason}`);
    if (expires === undefined || Date.parse(expires) / 1000 >= root.expires) continue;
    throw new Refusal(
      'input-invalid',
      `the key ${formatFingerprint(fingerprint)} expires on ${expires}, before the root does (${dateOf(root.expires)}); extend it with gpg --quick-set-expire, or give fewer --valid-days`,
    );
  }
}

/**
 * The draft with one more signature, in place of one by the same key. @throws Refusal `key-unknown`
 */
async function addSignature(
  draft: RootDraft,
  signature: string,
  atSeconds: number,
  certificates: readonly string[],
): Promise<RootDraft> {
  const time = { nowSeconds: atSeconds + 60, clockTrusted: true };
  const [added, ...others] = await reviewSignatures(
    draft.payload,
    [signature, ...draft.signatures],
    certificates,
    time,
  );
  if (added === undefined || 'reason' in added) {
    throw new Refusal(
      'key-unknown',
      `the signature does not count for root ${draft.root.version}: ${added?.reason ?? 'there is none'}`,
    );
  }
  const kept = draft.signatures.filter((_text, index) => {
    const other = others[index];
    return other === undefined || !('fingerprint' in other) || other.fingerprint !== added.fingerprint;
  });
  return { ...draft, signatures: [...kept, signature] };
}

/** The root keys that may sign a root of this fleet: its own and those of the root before. */
async function rootKeysOf(context: Context, draft: RootDraft): Promise<readonly string[]> {
  const roots = [draft.root, await beforeOf(context, draft)];
  const named = new Set(roots.flatMap((root) => root?.roles['root']?.keys ?? []));
  return Object.entries(draft.root.keys).flatMap(([fingerprint, armored]) =>
    named.has(fingerprint) ? [armored] : [],
  );
}

async function newestPath(context: Context): Promise<string> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const newest = (await fleet.roots()).at(-1);
  if (newest === undefined)
    throw new Refusal(
      'not-found',
      'the fleet has no root; name a file, or make one with "wherry trust root init"',
    );
  return fleet.rootPath(newest.root.version);
}

async function beforeOf(context: Context, { root }: RootDraft): Promise<RootDocument | undefined> {
  const fleet = await FleetDirectory.open(context.fleetPath);
  const chain: readonly ChainedRoot[] = await rootChain(fleet, nowSecondsOf(context));
  return chain.find((one) => one.root.version === root.version)?.before;
}

async function readRootFile(path: string): Promise<RootDraft> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw unreadableFile(`the root ${path}`, cause);
  });
  return fromFile(path, 'a root of trust', () => readDraft(bytes));
}

/** Shows the content of the root, who has signed it, and which signatures are missing. */
async function tell(
  context: Context,
  path: string,
  draft: RootDraft,
  before: RootDocument | undefined,
): Promise<void> {
  const { root } = draft;
  const time = { nowSeconds: nowSecondsOf(context) + 60, clockTrusted: true };
  const reviews = await reviewSignatures(draft.payload, draft.signatures, Object.values(root.keys), time);
  const signedBy = [
    ...new Set(reviews.flatMap((review) => ('fingerprint' in review ? [review.fingerprint] : []))),
  ];
  const states = signingStates(root, before, signedBy);
  if (context.json) {
    const { fleet, version, issued, expires, roles } = root;
    context.terminal.out(
      JSON.stringify({ file: path, fleet, version, issued, expires, roles, signedBy, signing: states }),
    );
    return;
  }
  const owners = await ownersOf(context, root);
  const lines = [
    `root ${root.version} of fleet ${root.fleet}, ${dateOf(root.issued)} to ${dateOf(root.expires)}: ${path}`,
  ];
  for (const [name, { keys, threshold }] of Object.entries(root.roles)) {
    lines.push(`${name}: ${threshold} of ${keys.length}`);
    for (const key of keys) lines.push(`  ${formatFingerprint(key)}  ${owners.get(key) ?? ''}`.trimEnd());
  }
  for (const { version, signed, missing } of states) {
    const whose = `the root keys of version ${version}`;
    lines.push(
      missing === 0
        ? `signed by enough of ${whose}`
        : `signed by ${signed.length} of ${whose}; ${missing} more must sign with "wherry trust root sign"`,
    );
  }
  for (const review of reviews)
    if ('reason' in review) lines.push(`a signature does not count: ${review.reason}`);
  context.terminal.out(lines.join('\n'));
}

async function ownersOf(context: Context, root: RootDocument): Promise<ReadonlyMap<string, string>> {
  const time = { nowSeconds: nowSecondsOf(context), clockTrusted: false };
  const owners = new Map<string, string>();
  for (const [fingerprint, armored] of Object.entries(root.keys)) {
    const { usable, unusable } = await reviewKeys(armored, time);
    const note = unusable[0] === undefined ? '' : `(${unusable[0].reason})`;
    owners.set(fingerprint, `${(usable[0]?.userIds[0] ?? '').replace(/\p{C}/gu, '?').slice(0, 200)}${note}`);
  }
  return owners;
}

function dateOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}
