import { readFile, stat } from 'node:fs/promises';
import { type BuiltArchive, buildFromFile, buildAci, readXattrs } from '../../../operator/build/index.ts';
import type { LeaveOut, LeftOut } from '../../../image/tree/index.ts';
import { maxAccountId, parseImageManifest, parseMountPointString } from '../../../image/appc/index.ts';
import { keyNote, notForImages, watchingKeys } from '../../../operator/fleet/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import { formatBytes } from '../../format.ts';
import type { BuildFlags } from '../../flags.ts';
import { deviceNotes } from './device-notes.ts';
import { showingWork } from '../../showing-work.ts';
import { signImages } from './image.ts';

/** `wherry image build` */
export async function buildImage(context: Context, directory: string, flags: BuildFlags): Promise<void> {
  const status = await stat(directory).catch(() => undefined);
  if (status?.isFile() === true) {
    await buildByFile(context, directory, flags);
    return;
  }
  const manifest = await manifestBytes(flags);
  const { leaveOut, keys } = await decisions(context, flags.output);
  const built = await showingWork(context, `building ${flags.output}`, async () =>
    buildAci({
      leaveOut,
      root: directory,
      manifest,
      output: flags.output,
      compression: flags.compression,
      ...(status === undefined ? {} : { xattrs: await readXattrs(directory) }),
      ...(flags.owner === undefined ? {} : { owner: parseOwner(flags.owner) }),
      ...latest(),
    }),
  );
  for (const socket of built.skipped) context.terminal.err(`left out the socket ${socket}\n`);
  await tellBuilt(context, flags, withKeys(built, keys), tellLeftOut(context, built.leftOut));
}

/** What stays out of the image, and the private keys that do not, once it is built. */
async function decisions(
  { fleetPath }: Context,
  output: string,
): Promise<{ readonly leaveOut: LeaveOut; readonly keys: readonly string[] }> {
  const keys: string[] = [];
  const leaveOut = watchingKeys(await notForImages(fleetPath, output), (file) => keys.push(file));
  return { leaveOut, keys };
}

function withKeys<T extends { readonly notes: readonly string[] }>(built: T, keys: readonly string[]): T {
  const note = keyNote(keys.map((file) => printable(file)).toSorted());
  return note === undefined ? built : { ...built, notes: [...built.notes, note] };
}

/** Reports to people what was left out of the image; programs get it with the result. */
function tellLeftOut(context: Context, leftOut: readonly LeftOut[]): { leftOut?: readonly LeftOut[] } {
  for (const { path, what } of leftOut) context.terminal.err(`left out ${printable(path)}: it is ${what}\n`);
  return leftOut.length === 0 ? {} : { leftOut };
}

function printable(path: string): string {
  return path.replace(/\p{C}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

async function buildByFile(context: Context, path: string, flags: BuildFlags): Promise<void> {
  const { output, compression } = flags;
  const other = [
    'manifest',
    'name',
    'label',
    'exec',
    'env',
    'workdir',
    'mount',
    'memory',
    'cpu',
    'annotation',
    'owner',
  ] as const;
  const given = other.find((option) => flags[option] !== undefined);
  if (given !== undefined)
    throw new Refusal(
      'usage',
      `--${given} is for a directory, and ${path} is a file: a build file has it in its [manifest] or [[put]], an image gets it by "wherry image patch"`,
    );
  const { leaveOut, keys } = await decisions(context, output);
  const built = await showingWork(context, `building ${output}`, () =>
    buildFromFile({ path, output, compression, leaveOut, ...latest() }),
  );
  await tellBuilt(context, flags, withKeys(built, keys), tellLeftOut(context, built.leftOut));
}

/**
 * Reports what was built, and signs it with `--sign`.
 * @param others files to sign with it
 */
export async function tellBuilt(
  context: Context,
  flags: { readonly output: string; readonly sign?: true },
  built: Omit<BuiltArchive, 'skipped'>,
  more: { readonly warnings?: readonly string[]; readonly [key: string]: unknown } = {},
  others: readonly string[] = [],
): Promise<void> {
  const { terminal } = context;
  const { imageId, sizeBytes, tarSizeBytes } = built;
  const notes = [...built.notes, ...deviceNotes(built.manifest)];
  for (const note of notes) terminal.err(`note: ${note}\n`);
  const warnings = [...(more.warnings ?? []), ...notes];
  if (!context.json) {
    terminal.out(imageId);
    terminal.out(`${flags.output}: ${formatBytes(sizeBytes)}, ${formatBytes(tarSizeBytes)} uncompressed`);
  }
  if (flags.sign === true) {
    // With --json the caller gets one document: what was built.
    await signImages(
      { ...context, json: false, terminal: context.json ? silent(context) : terminal },
      [...others, flags.output],
      {},
    );
  }
  if (context.json) {
    terminal.out(
      JSON.stringify({ file: flags.output, id: imageId, sizeBytes, tarSizeBytes, ...more, warnings }),
    );
  }
}

function silent(context: Context): Context['terminal'] {
  return { ...context.terminal, out: () => undefined };
}

const byteOrderMark = Buffer.from('\ufeff');

export async function manifestBytes(flags: Omit<BuildFlags, 'output' | 'compression'>): Promise<Uint8Array> {
  const { manifest, name } = flags;
  if (manifest !== undefined) {
    if (name !== undefined) throw new Refusal('usage', 'give either --manifest or --name, not both');
    try {
      const bytes = await readFile(manifest);
      // Strips the byte order mark that Windows tools write: a device would refuse the manifest.
      return bytes.subarray(0, 3).equals(byteOrderMark) ? bytes.subarray(3) : bytes;
    } catch (cause) {
      throw unreadableFile(`the manifest ${manifest}`, cause);
    }
  }
  if (name === undefined) throw new Refusal('usage', 'an image needs a --name, or a --manifest that has one');
  const bytes = new TextEncoder().encode(JSON.stringify(manifestFrom(name, flags)));
  parseImageManifest(bytes);
  return bytes;
}

/** The manifest that the options describe; the parser of manifests judges it. */
function manifestFrom(name: string, flags: Omit<BuildFlags, 'output' | 'compression'>): object {
  const labels = (flags.label ?? []).map((text) => pair(text, '--label'));
  const isolators = [...limit('resource/memory', flags.memory), ...limit('resource/cpu', flags.cpu)];
  const app = flags.exec && {
    exec: flags.exec,
    user: flags.user,
    group: flags.group,
    ...(flags.workdir === undefined ? {} : { workingDirectory: flags.workdir }),
    environment: (flags.env ?? []).map((text) => pair(text, '--env')),
    mountPoints: (flags.mount ?? []).map((text) => parseMountPointString(text)),
    isolators,
  };
  if (app === undefined && (isolators.length > 0 || flags.env !== undefined || flags.mount !== undefined)) {
    throw new Refusal('usage', '--memory, --cpu, --env and --mount are about a program; give it with --exec');
  }
  return {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name,
    // Images of a fleet are for Linux unless a label names another system (types.md#labels).
    labels: labels.some((label) => label.name === 'os')
      ? labels
      : [...labels, { name: 'os', value: 'linux' }],
    ...(app === undefined ? {} : { app }),
    annotations: (flags.annotation ?? []).map((text) => pair(text, '--annotation')),
  };
}

function limit(name: string, quantity: string | undefined): object[] {
  return quantity === undefined ? [] : [{ name, value: { limit: quantity } }];
}

/** @throws Refusal `usage` */
export function pair(text: string, option: string): { readonly name: string; readonly value: string } {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new Refusal('usage', `${option} takes NAME=VALUE, not ${JSON.stringify(text)}`);
  }
  return { name, value };
}

function parseOwner(text: string): { readonly uid: number; readonly gid: number } {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Refusal('usage', `--owner takes UID:GID, not ${JSON.stringify(text)}`);
  }
  if (Number(uid) > maxAccountId || Number(gid) > maxAccountId) {
    throw new Refusal('usage', `--owner takes numbers up to ${maxAccountId}, not ${text}`);
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** https://reproducible-builds.org/specs/source-date-epoch/ @throws Refusal `input-invalid` */
export function latest(): { latest?: number } {
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch === undefined) return {};
  if (!/^\d{1,10}$/.test(epoch)) {
    throw new Refusal(
      'input-invalid',
      `SOURCE_DATE_EPOCH is not a number of seconds: ${JSON.stringify(epoch)}`,
    );
  }
  return { latest: Number(epoch) };
}
