import { lstat, mkdir, rmdir } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { reasonOf, Refusal } from '../core/refusal/index.ts';
import type { Disk } from '../device/store/index.ts';
import { enrolmentFiles, type EnrolmentPath } from '../wire/enrolment/index.ts';

/** What an enrolment did: it placed files, or found all of them in place. */
export type Enrolled = 'enrolled' | 'unchanged';

const configPath: EnrolmentPath = '/etc/wherry/wherry.toml';
const maxBytes = 1 << 20;

type Files = ReadonlyMap<EnrolmentPath, Uint8Array>;

/**
 * Puts the files of an enrolment below `root`, all or none: each is written and synced beside its
 * place, then they are renamed, the configuration last. After a power cut a device is enrolled or
 * has no configuration, and the next run continues.
 *
 * @throws Refusal `input-invalid` when it is enrolled as something else, or another file is in the
 *   way; then nothing was changed
 */
export async function placeEnrolment(disk: Disk, root: string, files: Files): Promise<Enrolled> {
  const places = (Object.keys(enrolmentFiles) as EnrolmentPath[]).flatMap((path) => {
    const content = files.get(path);
    return content === undefined
      ? []
      : [{ path, content, target: join(root, path), mode: enrolmentFiles[path] }];
  });
  const there = new Map<EnrolmentPath, 'same' | 'other'>();
  for (const { path, content, target } of places) {
    const found = await disk.read(target, maxBytes).catch((cause: unknown) => {
      throw new Refusal('input-invalid', `${target} cannot be read: ${reasonOf(cause)}`, { cause });
    });
    if (found !== undefined) there.set(path, Buffer.compare(found, content) === 0 ? 'same' : 'other');
  }
  if (there.get(configPath) === 'same' && places.every(({ path }) => there.get(path) === 'same'))
    return 'unchanged';
  if (there.has(configPath)) {
    throw new Refusal(
      'input-invalid',
      `this device is enrolled already, by ${join(root, configPath)}; remove that file first if it is to be enrolled again`,
    );
  }
  for (const { path, target } of places) {
    if (there.get(path) !== 'other') continue;
    throw new Refusal(
      'input-invalid',
      `${target} is there with other content; remove it if it is not needed`,
    );
  }
  const missing = places.filter(({ path }) => !there.has(path));
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const placed: string[] = [];
  try {
    for (const { target, content, mode } of missing) {
      placed.push(temporaryOf(target));
      await disk.write(temporaryOf(target), content);
      await disk.own(temporaryOf(target), owner, mode);
      await disk.syncFile(temporaryOf(target));
    }
    for (const { target } of missing) {
      placed.push(target);
      await disk.rename(temporaryOf(target), target);
      // Now: the configuration must not reach the disk before the files that it names.
      await disk.syncDirectory(dirname(target));
    }
  } catch (cause) {
    for (const path of placed.toReversed()) await disk.remove(path).catch(() => undefined);
    throw new Refusal(
      'input-invalid',
      `the device was not enrolled, and nothing is left: ${reasonOf(cause)}`,
      {
        cause,
      },
    );
  }
  return 'enrolled';
}

/**
 * Replaces one file of an enrolment, in one step: after a power cut it is the old one or the new
 * one.
 *
 * @throws Refusal `input-invalid` when it cannot be written; then the old one is in place
 */
export async function replaceEnrolled(
  disk: Disk,
  root: string,
  path: EnrolmentPath,
  content: Uint8Array,
): Promise<void> {
  const target = join(root, path);
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  try {
    await disk.write(temporaryOf(target), content);
    await disk.own(temporaryOf(target), owner, enrolmentFiles[path]);
    await disk.syncFile(temporaryOf(target));
    await disk.rename(temporaryOf(target), target);
    await disk.syncDirectory(dirname(target));
  } catch (cause) {
    await disk.remove(temporaryOf(target)).catch(() => undefined);
    throw new Refusal('input-invalid', `${target} was not replaced: ${reasonOf(cause)}`, { cause });
  }
}

const temporaryOf = (target: string): string => `${target}.new`;

/**
 * Makes the directories of the files below `root`. A symbolic link on the way is refused: in the
 * tree of another machine it leads into this one.
 *
 * @returns a function that removes the directories that were made and are empty
 * @throws Refusal `input-invalid`
 */
export async function makeDirectories(root: string, files: Files): Promise<() => Promise<void>> {
  const made: string[] = [];
  const unmake = async (): Promise<void> => {
    for (const path of made.toReversed()) await rmdir(path).catch(() => undefined); // not empty any more
  };
  try {
    for (const path of files.keys()) {
      const parts = relative(root, dirname(join(root, path))).split(sep);
      for (const index of parts.keys()) {
        const directory = join(root, ...parts.slice(0, index + 1));
        const stats = await lstat(directory).catch(() => undefined);
        if (stats?.isDirectory() === true) continue;
        if (stats !== undefined) throw new Error(`${directory} is not a directory`);
        await mkdir(directory, { mode: 0o755 });
        made.push(directory);
      }
    }
  } catch (cause) {
    await unmake();
    throw new Refusal(
      'input-invalid',
      `the device was not enrolled, and nothing is left: ${reasonOf(cause)}`,
      {
        cause,
      },
    );
  }
  return unmake;
}
