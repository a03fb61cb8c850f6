import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAcIdentifier } from '../../../image/appc/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import {
  removeKeys,
  requireRoom,
  storedCopies,
  storedKeys,
  storeKeys,
  type NewKey,
  type StoredKey,
  type TrustPlaces,
  type TrustScope,
} from '../../../device/store/index.ts';
import type { DeviceTime } from '../../../wire/trust/index.ts';
import { formatFingerprint, reviewKeys, revokedBy, type KeyReview } from '../../../wire/trust/openpgp.ts';
import type { Context } from '../../context.ts';
import { formatTable } from '../../format.ts';
import type { DiscoverFlags } from '../../flags.ts';
import { unbroken } from '../../terminal.ts';

export interface TrustFlags {
  readonly directory: string;
  readonly system: string;
}

export interface ScopeFlags extends TrustFlags {
  readonly prefix?: string;
  readonly root?: true;
  readonly deploy?: true;
}

export interface AddFlags extends ScopeFlags, DiscoverFlags {
  /** Ask the site of this image name for its keys. */
  readonly discover?: string;
  readonly fingerprint?: readonly string[];
  readonly yes?: true;
}

/**
 * `wherry trust add`: trusts no key that nobody has reviewed. It stores all keys of the files or,
 * if one is refused or declined, none. Revocations are stored unless a file is refused.
 */
export async function addTrust(context: Context, files: readonly string[], flags: AddFlags): Promise<void> {
  const scope = scopeOf(flags);
  const wanted = (flags.fingerprint ?? []).map(plainFingerprint);
  const sources = await Promise.all(files.map(readKeyFile));
  if (flags.discover !== undefined) {
    // Loaded here only: the code that reads web pages is in the operator's package.
    const { discoverKeys } = await import('../operator/image-discover.ts');
    sources.push(...(await discoverKeys(context, flags.discover, flags)));
  }
  if (sources.length === 0)
    throw new Refusal('usage', 'name a file of keys, or the image whose site has them with --discover');
  const places = { local: flags.directory, system: flags.system };
  const time = { nowSeconds: Math.floor(context.clock.nowMs() / 1000), clockTrusted: false };
  // Reviewed with the stored copies: an older copy of a key must not undo a revocation in the
  // store, or in another of these files.
  const copies = [...storedCopies(places), ...sources.map(({ armored }) => armored)];
  const revoked: NewKey[] = [];
  const keys: KeyReview[] = [];
  for (const { file, armored } of sources) {
    const revocations = await newRevocations(armored, places, time);
    const isNew = ({ scope: of, name }: NewKey) =>
      !revoked.some((other) => other.name === name && describe(other.scope) === describe(of));
    revoked.push(...revocations.filter(isNew));
    const { usable, unusable } = await reviewKeys(armored, time, copies);
    for (const { fingerprint, reason } of unusable) {
      context.terminal.err(
        `${file}: ${fingerprint === undefined ? '' : `${formatFingerprint(fingerprint)} `}is left out: ${reason}\n`,
      );
    }
    if (usable.length === 0 && revocations.length === 0) {
      const [named] = await revokedBy(armored);
      const why = named === undefined ? '' : `; it revokes ${formatFingerprint(named)}, which no store has`;
      throw new Refusal('input-invalid', `${file} holds no key that could be trusted${why}`);
    }
    keys.push(...usable.filter((key) => keys.every((other) => other.fingerprint !== key.fingerprint)));
  }
  const trusted = chosen(context, keys, wanted);
  const asKeys = trusted.map(({ fingerprint, armored }) => ({ scope, name: fingerprint, armored }));
  requireRoom(places, [...revoked, ...asKeys]);
  const store = async (added: readonly NewKey[], isRevoked: boolean) => {
    const paths = await unbroken(context.terminal, () => storeKeys(flags.directory, added));
    return added.map(({ name: fingerprint, scope: of }, at) => {
      const file = paths[at] ?? '';
      const now = isRevoked ? 'revoked and no longer trusted' : 'trusted';
      const text = `${formatFingerprint(fingerprint)} is ${now} for ${describe(of)}: ${file}`;
      if (!context.json) context.terminal.out(text);
      else if (isRevoked) context.terminal.err(`${text}\n`);
      return { fingerprint, file, ...(isRevoked ? { revoked: true } : {}) };
    });
  };
  // Nothing is stored before all was checked, and no key before all were confirmed. A revocation
  // needs nobody's confirmation, and stays when a key is declined.
  const rows = await store(revoked, true);
  if (wanted.length === 0) for (const key of trusted) await requireReview(context, key, scope, flags);
  rows.push(...(await store(asKeys, false)));
  if (context.json) context.terminal.out(JSON.stringify(rows));
}

interface KeySource {
  /** A file or an address, for messages. */
  readonly file: string;
  readonly armored: string;
}

async function readKeyFile(file: string): Promise<KeySource> {
  const armored = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadableFile(`the key ${file}`, cause);
  });
  return { file, armored };
}

/**
 * Revocations of stored keys that no store has, for every scope of the key. They need no
 * confirmation: only the key itself can revoke itself.
 */
async function newRevocations(
  armored: string,
  places: TrustPlaces,
  time: DeviceTime,
): Promise<readonly NewKey[]> {
  const copies = storedCopies(places);
  const found: NewKey[] = [];
  for (const stored of storedKeys(places)) {
    if (stored.masked) continue;
    const before = await reviewKeys(stored.armored, time, copies);
    const after = await reviewKeys(stored.armored, time, [...copies, armored]);
    for (const key of after.unusable) {
      const isNew =
        key.revoked && !before.unusable.some((old) => old.revoked && old.fingerprint === key.fingerprint);
      if (!isNew || key.fingerprint === undefined || key.armored === undefined) continue;
      found.push({ scope: stored.scope, name: key.fingerprint, armored: key.armored });
    }
  }
  return found;
}

/**
 * The keys with the fingerprints that were given, or all without any.
 * @throws Refusal `key-unknown` for a fingerprint that no key has
 */
function chosen(
  { terminal }: Context,
  keys: readonly KeyReview[],
  wanted: readonly string[],
): readonly KeyReview[] {
  if (wanted.length === 0) return keys;
  const isWanted = (key: KeyReview) => wanted.includes(key.fingerprint);
  const missing = wanted.find((fingerprint) => keys.every((key) => key.fingerprint !== fingerprint));
  const others = keys
    .filter((key) => !isWanted(key))
    .map(({ fingerprint }) => formatFingerprint(fingerprint));
  if (missing !== undefined && keys.length > 0) {
    throw new Refusal(
      'key-unknown',
      `no key that can be trusted has the fingerprint ${formatFingerprint(missing)} of --fingerprint${others.length === 0 ? '' : `; there is ${others.join(', ')}`}`,
    );
  }
  for (const other of others) terminal.err(`${other} is left out: --fingerprint does not name it\n`);
  return keys.filter(isWanted);
}

/** Requires a person to confirm the fingerprint on this terminal, unless `--yes` is given. */
async function requireReview(
  { terminal }: Context,
  key: KeyReview,
  scope: TrustScope,
  { yes }: AddFlags,
): Promise<void> {
  if (yes === true) return;
  const lines = [
    `key          ${formatFingerprint(key.fingerprint)}`,
    ...key.userIds.map((id) => `belongs to   ${printable(id)}`),
    `algorithm    ${key.algorithm}`,
    `expires      ${key.expires ?? 'never'}`,
  ];
  terminal.err(`${lines.join('\n')}\n`);
  if (terminal.ask === undefined) {
    throw new Refusal(
      'usage',
      'there is no terminal to confirm on; compare the fingerprint and give it with --fingerprint',
    );
  }
  const answer = await terminal.ask(`Trust it for ${describe(scope)}? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal('usage', 'the key was not trusted');
}

/** `wherry trust list` */
export async function listTrust(context: Context, flags: TrustFlags): Promise<void> {
  const atSeconds = Math.floor(context.clock.nowMs() / 1000);
  const rows = [];
  const places = { local: flags.directory, system: flags.system };
  const copies = storedCopies(places);
  for (const stored of storedKeys(places)) {
    const { usable, unusable } = stored.masked
      ? { usable: [], unusable: [] }
      : await reviewKeys(stored.armored, { nowSeconds: atSeconds, clockTrusted: false }, copies);
    const base = { scope: describe(stored.scope), store: stored.store, name: stored.name };
    if (stored.masked) rows.push({ ...base, fingerprint: '', state: 'masked', userIds: '' });
    for (const { fingerprint, userIds } of usable) {
      rows.push({ ...base, fingerprint, state: 'trusted', userIds: userIds.map(printable).join(', ') });
    }
    if (!stored.masked && usable.length + unusable.length === 0) {
      const named = (await revokedBy(stored.armored)).map(formatFingerprint).join(', ');
      rows.push({ ...base, fingerprint: '', state: `revokes ${named}`, userIds: '' });
    }
    for (const { fingerprint = '', reason } of unusable) {
      rows.push({ ...base, fingerprint, state: reason, userIds: '' });
    }
  }
  if (context.json) {
    context.terminal.out(JSON.stringify(rows));
    return;
  }
  const root = [flags.directory, flags.system].map((store) => join(store, 'root.cbor')).find(existsSync);
  if (root !== undefined) {
    context.terminal.err(
      `${root} is a root of trust ("wherry trust root show" of the package wherry-operator shows it): once the device has accepted it, the keys below are trusted for nothing, and only their revocations count\n`,
    );
  }
  const cells = rows.map(({ scope, store, name, fingerprint, state, userIds }) => [
    scope,
    store,
    fingerprint === '' ? name : formatFingerprint(fingerprint),
    state,
    userIds,
  ]);
  context.terminal.out(
    rows.length === 0
      ? `there is no key in ${flags.directory} and ${flags.system}`
      : formatTable(context.terminal, ['FOR', 'STORE', 'KEY', 'STATE', 'BELONGS TO'], cells),
  );
}

/** `wherry trust remove` */
export async function removeTrust(context: Context, fingerprint: string, flags: ScopeFlags): Promise<void> {
  const wanted = plainFingerprint(fingerprint);
  const isScoped = flags.prefix !== undefined || flags.root === true || flags.deploy === true;
  const scope = isScoped ? describe(scopeOf(flags)) : undefined;
  const removed: StoredKey[] = [];
  const places = { local: flags.directory, system: flags.system };
  for (const stored of storedKeys(places)) {
    if (stored.masked || (scope !== undefined && describe(stored.scope) !== scope)) continue;
    const { usable, unusable } = await reviewKeys(stored.armored, { nowSeconds: 0, clockTrusted: false });
    const found = [...usable, ...unusable].map((key) => key.fingerprint);
    if (!found.includes(wanted)) continue;
    if (found.length > 1) {
      throw new Refusal(
        'input-invalid',
        `the file ${stored.name}.asc for ${describe(stored.scope)} holds ${found.length} keys; edit it by hand`,
      );
    }
    removed.push(stored);
  }
  if (removed.length === 0)
    throw new Refusal('not-found', `no store has the key ${formatFingerprint(wanted)}`);
  await unbroken(context.terminal, () => removeKeys(places, removed));
  for (const { scope: of } of context.json ? [] : removed)
    context.terminal.out(`no longer trusted for ${describe(of)}`);
  if (context.json) {
    context.terminal.out(
      JSON.stringify(removed.map(({ scope: of, store, name }) => ({ scope: describe(of), store, name }))),
    );
  }
}

function scopeOf({ prefix, root, deploy }: ScopeFlags): TrustScope {
  const given = [prefix !== undefined, root === true, deploy === true].filter(Boolean).length;
  if (given !== 1) {
    throw new Refusal(
      'usage',
      'specify what the key is trusted for: --prefix NAME (images below a name), --root (any image), or --deploy (commands)',
    );
  }
  if (deploy === true) return { kind: 'deploy' };
  if (prefix === undefined) return { kind: 'root' };
  if (!isAcIdentifier(prefix))
    throw new Refusal(
      'usage',
      `--prefix takes a name such as example.com/web, not ${JSON.stringify(prefix)}`,
    );
  return { kind: 'prefix', prefix };
}

function describe(scope: TrustScope): string {
  if (scope.kind === 'deploy') return 'commands';
  return scope.kind === 'root' ? 'any image' : `images below ${scope.prefix}`;
}

/** As people copy it: in groups, or with the `0x` that GnuPG writes before key IDs. */
function plainFingerprint(text: string): string {
  const hex = text.replace(/^\s*0x|[\s:]/gi, '').toLowerCase();
  if (!/^[0-9a-f]{40}$/.test(hex))
    throw new Refusal('usage', `a fingerprint has 40 hex digits, not ${JSON.stringify(text)}`);
  return hex;
}

/** User IDs are free text from the creator of the key. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?').slice(0, 200);
}
