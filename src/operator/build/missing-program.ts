import { type App, type ImageManifest, isOfRuntime } from '../../image/appc/index.ts';
import { quoted, type TarEntry } from '../../image/tar/index.ts';

type Entry = Pick<TarEntry, 'path' | 'type' | 'mode' | 'target'>;

/** Links that are followed for one path, as on Linux (path_resolution(7)). */
const maxLinks = 40;

/**
 * A note about an image whose app cannot start, because its program is not in the image or is not
 * executable. A note rather than a refusal: a pod may run another program of the image.
 *
 * Undefined where this is not known: the image has dependencies, the program is searched in `PATH`,
 * or a volume or the runtime is mounted over its directory.
 *
 * @param entries of the image, with paths below `rootfs`
 */
export function programNote(
  { app, dependencies }: Pick<ImageManifest, 'app' | 'dependencies'>,
  entries: Iterable<Entry>,
): string | undefined {
  const program = app?.exec[0];
  if (app === undefined || program?.startsWith('/') !== true || dependencies.length > 0) return undefined;
  const found = new Map<string, Entry>();
  for (const entry of entries) found.set(entry.path.slice('rootfs'.length), entry);
  const place = resolved(program, found);
  if (place !== undefined && isMountedOver(place, app)) return undefined;
  const entry = place === undefined ? undefined : ofInode(place, found);
  if (entry === undefined) return `its program ${quoted(program)} is not in the image`;
  if (entry.type !== 'file') return `its program ${quoted(program)} is not a file`;
  return (entry.mode & 0o111) === 0 ? `its program ${quoted(program)} is not executable` : undefined;
}

function isMountedOver(place: string, app: App): boolean {
  if (isOfRuntime(place)) return true;
  return app.mountPoints.some(({ path }) => place.startsWith(`${path.replace(/\/+$/, '')}/`));
}

/** A hard link names the entry that has the content and the mode. */
function ofInode(place: string, found: ReadonlyMap<string, Entry>): Entry | undefined {
  const entry = found.get(place);
  return entry?.type === 'link' ? found.get(entry.target.slice('rootfs'.length)) : entry;
}

/** The path without symbolic links; undefined where they form a loop. */
function resolved(path: string, found: ReadonlyMap<string, Entry>): string | undefined {
  let links = 0;
  let place = '';
  const left = path.split('/').reverse();
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      place = place.slice(0, Math.max(0, place.lastIndexOf('/')));
      continue;
    }
    const entry = found.get(`${place}/${name}`);
    if (entry?.type !== 'symlink') {
      place = `${place}/${name}`;
      continue;
    }
    if (++links > maxLinks) return undefined;
    if (entry.target.startsWith('/')) place = '';
    left.push(...entry.target.split('/').reverse());
  }
  return place;
}
