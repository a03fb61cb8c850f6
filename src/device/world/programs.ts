import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { elfHeadBytes, elfTarget, hasElfMagic, readElfHeader } from './elf.ts';
import type { App, PodApp } from '../../image/appc/index.ts';
import { appPath } from '../pod/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { findInImage, type FoundInImage } from './image-tree.ts';

export interface ProgramsToCheck {
  /** Root directories of the mounted image, the uppermost layer first. */
  readonly roots: readonly string[];
  readonly podApp: PodApp;
  /** The app that runs: the pod's, or else the image's. */
  readonly app: App;
  /** `arch` labels that this device can run, best first. */
  readonly architectures: readonly string[];
}

/** Bytes of a script's first line that Linux reads (BINPRM_BUF_SIZE). */
const maxFirstLine = 256;

/** Directories that the runtime mounts over the image. */
const runtimePaths = ['/proc', '/sys', '/dev'];

/**
 * Refuses an app whose program is for another machine, whatever the labels of its image, before any
 * running pod is touched. It checks the program of the app and of its event handlers, found as the
 * runtime finds it (`PATH`, working directory), the interpreter of a script, and the loader of an
 * ELF program.
 *
 * A program that is not in the image is not checked: it may be in a volume, or its start fails.
 *
 * @throws Refusal `image-arch-mismatch`
 */
export async function checkPrograms(check: ProgramsToCheck): Promise<void> {
  const { app } = check;
  for (const [name] of [app.exec, ...app.eventHandlers.map(({ exec }) => exec)]) {
    if (name === undefined) continue;
    const program = await findProgram(check, name);
    if (program !== undefined) await checkProgram(check, program);
  }
}

/** As execvp(3) does: a name with a slash is a path, any other is searched in `PATH`. */
async function findProgram(check: ProgramsToCheck, name: string): Promise<FoundInImage | undefined> {
  const { app } = check;
  const absolute = (path: string) => (path.startsWith('/') ? path : `${app.workingDirectory}/${path}`);
  if (name.includes('/')) return await findVisible(check, absolute(name));
  for (const directory of appPath(app).split(':')) {
    const found = await findVisible(check, `${absolute(directory)}/${name}`);
    if (found?.status.isFile() === true && (found.status.mode & 0o111) !== 0) return found;
  }
  return undefined;
}

/** What the app sees at a path; undefined if a volume or the runtime is mounted over it. */
async function findVisible(check: ProgramsToCheck, path: string): Promise<FoundInImage | undefined> {
  const found = await findInImage(check.roots, path);
  if (found === undefined) return undefined;
  const isHidden = (await targetsOf(check)).some((target) => `${found.path}/`.startsWith(target));
  return isHidden ? undefined : found;
}

/** Where the runtime and volumes are mounted, each with a slash at its end. */
async function targetsOf({ roots, podApp, app }: ProgramsToCheck): Promise<readonly string[]> {
  const targets: string[] = [];
  for (const { path } of [...podApp.mounts, ...app.mountPoints]) targets.push(await placeOf(roots, path));
  return [...runtimePaths, ...targets].map((target) => `${target}/`);
}

/** A path without the links of the image; its last components may be missing there. */
async function placeOf(roots: readonly string[], path: string): Promise<string> {
  const found = await findInImage(roots, path);
  if (found !== undefined || dirname(path) === path) return found?.path ?? path;
  return join(await placeOf(roots, dirname(path)), basename(path));
}

/**
 * Refuses an app whose working directory is not in its image and cannot come from a volume, which
 * may get it later. crun makes a missing one, where the start has to fail
 * (aci.md#image-manifest-schema).
 *
 * @throws Refusal `pod-manifest-invalid`
 */
export async function checkWorkingDirectory(check: ProgramsToCheck): Promise<void> {
  const { roots, podApp, app } = check;
  const found = await findInImage(roots, app.workingDirectory);
  if (found?.status.isDirectory() === true) return;
  const place = join(await placeOf(roots, app.workingDirectory), '/');
  for (const target of await targetsOf(check)) {
    if (place.startsWith(target) || target.startsWith(place)) return;
  }
  throw new Refusal(
    'pod-manifest-invalid',
    `app ${podApp.name}: its working directory ${app.workingDirectory} is not a directory of the image; make it there, or mount a volume`,
  );
}

async function checkProgram(check: ProgramsToCheck, program: FoundInImage): Promise<void> {
  const head = await readHead(program);
  const interpreter = scriptInterpreter(head);
  if (interpreter === undefined) {
    const loader = checkHeader(check, program, head);
    const found = loader === undefined ? undefined : await findVisible(check, loader);
    if (found !== undefined) checkHeader(check, found, await readHead(found));
    return;
  }
  const found = await findVisible(check, interpreter);
  if (found !== undefined) checkHeader(check, found, await readHead(found));
}

/**
 * Returns the loader of the program. Formats other than ELF are left to the kernel (binfmt_misc).
 */
function checkHeader(check: ProgramsToCheck, { path }: FoundInImage, head: Buffer): string | undefined {
  if (!hasElfMagic(head)) return undefined;
  const { podApp, architectures } = check;
  const device = `this device runs ${architectures.join(', ')}`;
  const refuse = (what: string) =>
    new Refusal(
      'image-arch-mismatch',
      `app ${podApp.name}: ${path} in its image ${what}; ${device}. Deploy an image that was built for it`,
    );
  const header = readElfHeader(head);
  if (header === undefined) throw refuse('is a damaged ELF file or not a program');
  const target = elfTarget(header);
  if (!target.labels.some((label) => architectures.includes(label))) {
    throw refuse(`is a program for ${target.name}`);
  }
  return header.interpreter;
}

async function readHead({ file, status }: FoundInImage): Promise<Buffer> {
  if (!status.isFile()) return Buffer.alloc(0);
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(elfHeadBytes), 0, elfHeadBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The program of a script's first line (execve(2), "Interpreter scripts"). */
function scriptInterpreter(head: Buffer): string | undefined {
  const [line = ''] = head.toString('latin1', 0, maxFirstLine).split('\n');
  const name = /^#![ \t]*([^ \t\0]+)/.exec(line)?.[1];
  return name?.startsWith('/') === true ? Buffer.from(name, 'latin1').toString('utf8') : undefined;
}
