import type { AcIdentifier } from '../../image/appc/index.ts';

/**
 * A public key that is trusted for the images below a name prefix, or, with `null`, for every
 * image.
 */
export interface ImageKey {
  readonly prefix: string | null;
  readonly armored: string;
}

/**
 * The keys that may sign the image `name` (discovery.md, "Validation"): those of every prefix of
 * the name that ends at a `/`, deepest first, then those for any name. `example.com/foo` is a
 * prefix of `example.com/foo/bar` and of itself, not of `example.com/foobar`: otherwise the owner
 * of a longer name would inherit a key's trust.
 */
export function keysForImage(name: AcIdentifier, entries: readonly ImageKey[]): string[] {
  return entries
    .filter(({ prefix }) => prefix === null || name === prefix || name.startsWith(`${prefix}/`))
    .sort((a, b) => (b.prefix?.length ?? -1) - (a.prefix?.length ?? -1))
    .map((entry) => entry.armored);
}
