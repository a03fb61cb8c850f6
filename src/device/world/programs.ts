import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { elfHeadBytes, elfTarget, hasElfMagic, readElfHeader } from './elf.ts';
import { type App, isWithin, type PodApp } from '../../image/appc/index.ts';
import { appPath, type EmptyMount } from '../pod/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { findInImage, type FoundInImage, placeInImage } from './image-tree.ts';

/** An app and the image that it runs in. */
export interface AppInImage {
  /** Root directories of the mounted image, the uppermost layer first. */
  readonly roots: readonly string[];
  readonly podApp: PodApp;
  /** The app that runs: the pod's, or else the image's. */
  readonly app: App;
}

export interface ProgramsToCheck extends AppInImage {
  /** `arch` labels that this device can run, best first. */
  readonly architectures: readonly string[];
  /** Its mounts that are empty when its first program begins. */
  readonly empty: readonly EmptyMount[];
}

/** Bytes of a script's first line that Linux reads (BINPRM_BUF_SIZE). */
const maxFirstLine = 256;

/** Directories that the runtime mounts over the image. */
const runtimePaths = ['/proc', '/sys', '/dev'];

/**
 * Refuses an app that cannot start, before any running pod is touched: its program is missing, may
 * not be executed or is for another machine, whatever the labels of its image, or an empty volume
 * is mounted over it. It checks the program of the app and of its event handlers, found as the
 * runtime finds it (`PATH`, working directory), the interpreter of a script, and the loader of an
 * ELF program.
 *
 * A program that another volume hides, or that a program before it may make, is not checked: its
 * start may fail.
 *
 * @throws Refusal `pod-app-missing`, `image-arch-mismatch`, `pod-volume-invalid`
 */
export async function checkPrograms(check: ProgramsToCheck): Promise<void> {
  const { exec, eventHandlers } = check.app;
  const hasPreStart = eventHandlers.some(({ name }) => name === 'pre-start');
  const empty = hasPreStart ? check.empty.filter(({ handlerFills }) => !handlerFills) : check.empty;
  for (const handler of eventHandlers) {
    // A post-stop handler begins after the app, which may have filled the volume.
    const isFirst = handler.name === 'pre-start';
    await checkCommand({ ...check, isFirst, empty: isFirst ? check.empty : [] }, handler.exec);
  }
  await checkCommand({ ...check, isFirst: !hasPreStart, empty }, exec);
}

/** A program to check, and whether no other program of the app runs before it. */
interface Check extends ProgramsToCheck {
  readonly isFirst: boolean;
}

async function checkCommand(check: Check, [name]: readonly string[]): Promise<void> {
  if (name === undefined) return;
  const program = await findProgram(check, name);
  if (program === 'absent') {
    const where = name.includes('/') ? '' : `, in no directory of PATH (${appPath(check.app)})`;
    refuseAbsent(check, `its program ${name}`, `it is not in its image${where}`);
  }
  if (typeof program === 'string') return;
  refuseUnusable(check, program, `its program ${program.path}`);
  await checkProgram(check, program);
}

/** A file of the image, and the empty volume that hides it from the app. */
interface SeenFile extends FoundInImage {
  readonly hiddenBy?: EmptyMount | undefined;
}

/** A file; or that none is there; or that a volume or the runtime may have one there. */
type Seen = SeenFile | 'absent' | 'unknown';

/** As execvp(3) does: a name with a slash is a path, any other is searched in `PATH`. */
async function findProgram(check: ProgramsToCheck, name: string): Promise<Seen> {
  const { app } = check;
  const absolute = (path: string) => (path.startsWith('/') ? path : `${app.workingDirectory}/${path}`);
  if (name.includes('/')) return await seenAt(check, absolute(name));
  let otherwise: Seen = 'absent';
  for (const directory of appPath(app).split(':')) {
    const seen = await seenAt(check, `${absolute(directory)}/${name}`);
    if (seen === 'unknown') otherwise = seen;
    if (typeof seen === 'string' || !seen.status.isFile() || (seen.status.mode & 0o111) === 0) continue;
    if (seen.hiddenBy === undefined) return seen;
    if (otherwise === 'absent') otherwise = seen;
  }
  return otherwise;
}

async function seenAt(check: ProgramsToCheck, path: string): Promise<Seen> {
  const reached = await placeInImage(check.roots, path);
  if (reached === undefined) return 'absent'; // links in a circle
  const found = await findInImage(check.roots, path);
  for (const place of [...reached.links, reached.place]) {
    const hiddenBy = await coverOf(check, place);
    if (hiddenBy === 'unknown') return 'unknown';
    if (hiddenBy !== undefined) return found === undefined ? 'absent' : { ...found, hiddenBy };
  }
  return found ?? (reached.climbs === true ? 'unknown' : 'absent');
}

/** What is mounted over a place in the image. */
async function coverOf(check: ProgramsToCheck, place: string): Promise<EmptyMount | 'unknown' | undefined> {
  for (const mount of check.empty) {
    if (isWithin(place, await placeOf(check.roots, mount.target))) return mount;
  }
  return (await targetsOf(check)).some((target) => `${place}/`.startsWith(target)) ? 'unknown' : undefined;
}

/** Refuses a file that is hidden, or that the kernel would not execute. */
function refuseUnusable(check: Check, { status, hiddenBy }: SeenFile, what: string): void {
  if (hiddenBy !== undefined && status.isFile())
    throw new Refusal(
      'pod-volume-invalid',
      `app ${check.podApp.name}: the volume ${hiddenBy.volume.name} at ${hiddenBy.target} is empty when it starts and hides ${what}; mount the volume elsewhere`,
    );
  if (!status.isFile()) refuseAbsent(check, what, 'it is not a file');
  if ((status.mode & 0o111) === 0) refuseAbsent(check, what, 'its mode does not allow it; chmod +x');
}

/** Refuses a program that is not there, unless an earlier program of the app may make it. */
function refuseAbsent({ podApp, isFirst }: Check, what: string, why: string): void {
  if (isFirst) throw new Refusal('pod-app-missing', `app ${podApp.name}: cannot execute ${what}: ${why}`);
}

/** Where the runtime and volumes are mounted, each with a slash at its end. */
async function targetsOf({ roots, podApp, app }: AppInImage): Promise<readonly string[]> {
  const targets: string[] = [];
  for (const { path } of [...podApp.mounts, ...app.mountPoints]) targets.push(await placeOf(roots, path));
  return [...runtimePaths, ...targets].map((target) => `${target}/`);
}

/** A path without the links of the image; its last components may be missing there. */
async function placeOf(roots: readonly string[], path: string): Promise<string> {
  return (await placeInImage(roots, path))?.place ?? path;
}

/**
 * Refuses an app whose working directory is not in its image and cannot come from a volume, which
 * may get it later. crun makes a missing one, where the start has to fail
 * (aci.md#image-manifest-schema).
 *
 * @throws Refusal `pod-manifest-invalid`
 */
export async function checkWorkingDirectory(check: AppInImage): Promise<void> {
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

async function checkProgram(check: Check, program: SeenFile): Promise<void> {
  const interpreter = scriptInterpreter(await readHead(program));
  const run = interpreter === undefined ? program : await neededBy(check, program, interpreter);
  if (run === undefined) return;
  const loader = checkHeader(check, run, await readHead(run));
  if (loader?.startsWith('/') !== true) return;
  const loads = await neededBy(check, run, loader);
  if (loads !== undefined) checkHeader(check, loads, await readHead(loads));
}

/** The interpreter of a script, or the loader of a program. */
async function neededBy(check: Check, program: SeenFile, path: string): Promise<SeenFile | undefined> {
  const needed = await seenAt(check, path);
  const what = `${typeof needed === 'string' ? path : needed.path}, which ${program.path} needs`;
  if (needed === 'absent') refuseAbsent(check, what, 'it is not in its image');
  if (typeof needed === 'string') return undefined;
  refuseUnusable(check, needed, what);
  return needed;
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
