import { posix } from 'node:path';

/** Directories with mounts of the runtime: no volume may be mounted at or below them. */
const reserved = ['/proc', '/sys', '/dev'];

/** Whether a path without `.`, `..` or doubled slashes is at or below another one. */
export function isWithin(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`);
}

export function isOfRuntime(path: string): boolean {
  return reserved.some((place) => isWithin(path, place));
}

/**
 * Why no device can mount volumes at all of these absolute paths, none of which has `..`. A device
 * refuses any pod in which the app has such mount points.
 */
export function mountProblem(paths: readonly string[]): string | undefined {
  const places = paths.map((path) => posix.normalize(path).replace(/(?<=.)\/$/, ''));
  if (places.includes('/')) return '/ is not a place for a mount';
  const runtime = places.find(isOfRuntime);
  if (runtime !== undefined) return `${runtime} belongs to the runtime`;
  for (const [index, place] of places.entries()) {
    const other = places.find((one, at) => at !== index && isWithin(place, one));
    if (other !== undefined) return `the mounts at ${other} and ${place} overlap`;
  }
  return undefined;
}
