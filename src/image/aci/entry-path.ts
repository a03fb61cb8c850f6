import { Refusal } from '../../core/refusal/index.ts';
import { type ArchiveLimits, quoted } from '../tar/index.ts';

const maxComponentBytes = 255;

/**
 * The canonical form of an entry's path: `manifest`, `rootfs`, `rootfs/…`, or `.` for the archive's
 * own root, which tools write when they are given a directory (aci.md#image-layout: "no other files
 * or directories at the top level"). `.` components and the slash at a directory's end are dropped;
 * everything else that is not plain is refused.
 */
export function entryPath(name: string, isDirectory: boolean, limits: ArchiveLimits): string {
  const path = plainPath(name, limits, (rule) => forbidden(name, rule));
  if (name.endsWith('/') && !isDirectory) throw forbidden(name, 'ends with a slash and is not a directory');
  if (path === '.' && isDirectory) return path;
  if (path !== 'manifest' && path !== 'rootfs' && !path.startsWith('rootfs/')) {
    throw forbidden(name, 'is neither "manifest" nor in "rootfs/"');
  }
  return path;
}

/**
 * The path that a hard link names; like all names in the archive it counts from the archive's root.
 */
export function hardLinkTarget(name: string, linkname: string, limits: ArchiveLimits): string {
  const refuse = (rule: string) => linkForbidden(name, linkname, rule);
  const path = plainPath(linkname, limits, refuse);
  if (!path.startsWith('rootfs/')) throw refuse('is not in "rootfs/"');
  return path;
}

/** A symbolic link's target is kept unchanged: the kernel resolves it inside the app's own root. */
export function symlinkTarget(name: string, linkname: string, limits: ArchiveLimits): string {
  if (linkname === '') throw linkForbidden(name, linkname, 'is empty');
  if (Buffer.byteLength(linkname) >= limits.maxPathBytes) throw linkForbidden(name, linkname, 'is too long');
  return linkname;
}

export function linkForbidden(name: string, linkname: string, rule: string): Refusal {
  return new Refusal(
    'archive-link-forbidden',
    `the link ${quoted(name)} has a target, ${quoted(linkname)}, that ${rule}`,
  );
}

function forbidden(name: string, rule: string): Refusal {
  return new Refusal('archive-path-forbidden', `the entry ${quoted(name)} ${rule}`);
}

function plainPath(name: string, limits: ArchiveLimits, refuse: (rule: string) => Refusal): string {
  if (name === '') throw refuse('is empty');
  if (name.startsWith('/')) throw refuse('is absolute');
  if (name.includes('\0')) throw refuse('has a NUL');
  if (Buffer.byteLength(name) > limits.maxPathBytes) {
    throw new Refusal(
      'archive-too-large',
      `the path ${quoted(name)} is longer than ${limits.maxPathBytes} bytes`,
    );
  }
  const components = (name.endsWith('/') ? name.slice(0, -1) : name).split('/');
  let plain = true;
  for (const component of components) {
    if (component === '..') throw refuse('has a ".." component');
    if (component === '') throw refuse('has an empty component');
    if (component === '.') plain = false;
    if (component.length * 3 > maxComponentBytes && Buffer.byteLength(component) > maxComponentBytes) {
      throw new Refusal(
        'archive-too-large',
        `the path ${quoted(name)} has a component of more than 255 bytes`,
      );
    }
  }
  if (plain) return components.join('/');
  return components.filter((component) => component !== '.').join('/') || '.';
}
