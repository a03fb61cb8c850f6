import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdirSync, rmSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { inspectArchive, type ArchiveListing, readArchive } from '../../../image/aci/index.ts';
import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { labelValue } from '../../../image/appc/index.ts';
import { asLocalRefusal, isRefusal, localErrorOf, Refusal, refusalAt } from '../../../core/refusal/index.ts';
import { accountNote, programNote, statImage } from '../../../operator/build/index.ts';
import type { Context } from '../../context.ts';
import { deviceNotes } from './device-notes.ts';

/** `wherry image validate` */
export async function validateImages(context: Context, files: readonly string[]): Promise<void> {
  const checked = [];
  for (const file of files) {
    const listing = await ofFile(file, (source) => inspectArchive(source, defaultArchiveLimits));
    const isSigned = await stat(`${file}.asc`).then(
      () => true,
      () => false,
    );
    const warnings = warningsOf(listing, isSigned);
    checked.push({ file, id: listing.imageId, name: listing.manifest.name, warnings });
    if (context.json) continue;
    context.terminal.out(`${file}: valid, ${listing.manifest.name}, ${listing.imageId.slice(0, 19)}`);
    for (const warning of warnings) context.terminal.out(`  note: ${warning}`);
  }
  if (context.json) context.terminal.out(JSON.stringify(checked));
}

/** What the specification allows and a fleet will regret. */
function warningsOf(
  { manifest, droppedXattrs, compression, list, accounts }: ArchiveListing,
  isSigned: boolean,
): readonly string[] {
  const setId = list.filter(({ type, mode }) => type === 'file' && (mode & 0o6000) !== 0);
  const program = programNote(manifest, list);
  const account = accountNote(manifest, accounts);
  const notes: readonly (readonly [boolean, string])[] = [
    [!isSigned, 'it is not signed: there is no signature beside it'],
    [!manifest.name.includes('.'), 'its name is not like an address, so it cannot be found by discovery'],
    [
      labelValue(manifest.labels, 'version') === undefined,
      'it has no label version (aci.md: SHOULD be unique)',
    ],
    [labelValue(manifest.labels, 'os') === undefined, 'it has no label os, so its label arch means nothing'],
    [labelValue(manifest.labels, 'arch') === undefined, 'it has no label arch, so any device takes it'],
    [manifest.app === undefined, 'it does not say what to run'],
    [droppedXattrs.length > 0, `a device leaves out its attributes ${droppedXattrs.join(', ')}`],
    [program !== undefined, program ?? ''],
    [account !== undefined, account ?? ''],
    ...deviceNotes(manifest).map((note) => [true, note] as const),
    [setId.length > 0, `${setId.length} files run as their owner, such as ${setId[0]?.path ?? ''}`],
    [compression === 'zstd', 'zstd is an extension: other implementations of the specification refuse it'],
  ];
  return notes.filter(([holds]) => holds).map(([, note]) => note);
}

/** `wherry image cat-manifest` */
export async function catManifest(
  context: Context,
  file: string,
  options: { readonly pretty?: true },
): Promise<void> {
  const { manifestBytes } = await ofFile(file, (source) =>
    readArchive(source, { limits: defaultArchiveLimits }),
  );
  const text = manifestBytes.toString();
  context.terminal.out(options.pretty === true ? JSON.stringify(JSON.parse(text), undefined, 2) : text);
}

/**
 * `wherry image extract`: the archive is checked and re-encoded on its way to GNU tar, which
 * unpacks it into a new directory, as root with owners and file capabilities. What was unpacked of
 * a bad archive is removed.
 */
export async function extractImage(context: Context, file: string, directory: string): Promise<void> {
  makeNew(directory);
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? ['--same-owner', '--numeric-owner'] : ['--no-same-owner'];
  const args = [
    '--extract',
    // Names and targets of hard links, not those of symbolic links.
    '--transform=s,^rootfs/*,./,S',
    '--preserve-permissions',
    '--xattrs',
    '--xattrs-include=user.*',
    ...(isRoot ? ['--xattrs-include=security.capability'] : []),
  ];
  const child = spawn('tar', [...args, ...owner, '-C', directory, 'rootfs'], {
    stdio: ['pipe', 'inherit', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  // A signal ends this process without the rest of this function.
  const abandon = () => {
    child.kill('SIGKILL');
    // Tar may complete the system call that it is in, and so fill a directory again.
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', abandon);
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(0, 1000)));
  child.stdin.on('error', () => undefined); // reported by the reader of the archive
  const ended = once(child, 'close') as Promise<[number | null]>;
  try {
    await ofFile(file, (source) =>
      readArchive(source, { limits: defaultArchiveLimits, canonicalTar: child.stdin }),
    );
    const [status] = await ended;
    const code = said.includes('No space left on device') ? 'no-space' : 'input-invalid';
    if (status !== 0) throw new Refusal(code, `tar could not unpack ${file}: ${said.trim()}`);
  } catch (error) {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
    throw error;
  } finally {
    process.off('exit', abandon);
  }
  if (context.json) context.terminal.out(JSON.stringify({ directory }));
}

/**
 * Synchronous: a signal between an asynchronous call and its end would leave the directory.
 * @throws Refusal `input-invalid` when it exists, and for what the file system refuses
 */
function makeNew(directory: string): void {
  try {
    mkdirSync(directory);
  } catch (cause) {
    if (localErrorOf(cause)?.code !== 'EEXIST') throw asLocalRefusal(cause, directory);
    throw new Refusal('input-invalid', `${directory} exists; name a new directory`, { cause });
  }
}

/** Refusals name the file. */
async function ofFile<T>(file: string, read: (source: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
  await statImage(file);
  try {
    return await read(createReadStream(file));
  } catch (error) {
    throw isRefusal(error) ? refusalAt(file, error) : asLocalRefusal(error, file);
  }
}
