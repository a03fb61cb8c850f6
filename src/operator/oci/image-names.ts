import { quoted } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** One of several images, with its names. */
export interface NamedImage {
  /** Whole names such as `docker.io/library/app:1.0`, or tags; the most specific first. */
  readonly names: readonly string[];
  readonly digest: string;
}

/**
 * The images that `wanted` names, or all without it. All returned images have one name: they are
 * one image for several platforms. A match of a whole name has precedence over one of its end, and
 * that over a tag.
 *
 * @param wanted a name, the end of one from a slash on, a tag, the beginning of a digest, or
 *   NAME@DIGEST
 * @param source names the source in messages
 * @throws Refusal `not-found`, `usage` when it fits several images; the message lists them
 */
export function chooseByName<T extends NamedImage>(
  images: readonly T[],
  wanted: string | undefined,
  source: string,
): readonly T[] {
  const fits =
    wanted === undefined
      ? images
      : (tests(wanted)
          .map((fit) => images.filter(fit))
          .find(({ length }) => length > 0) ?? []);
  const first = fits[0];
  if (first === undefined) {
    if (wanted === undefined) return [];
    throw new Refusal(
      'not-found',
      `${source}: there is no image ${wanted === '' ? '""' : wanted}, but: ${listed(images)}`,
    );
  }
  const isOne = fits.every(
    ({ names: [name], digest }) => digest === first.digest || (name !== undefined && name === first.names[0]),
  );
  if (isOne) return fits;
  throw severalImages(fits, source);
}

/** @param images what fits; at least two */
export function severalImages(images: readonly NamedImage[], source: string): Refusal {
  return new Refusal(
    'usage',
    `${source}: there are several images (${listed(images)}); choose one with SOURCE:NAME or SOURCE@DIGEST`,
  );
}

/** The full form of a name, with the host and the tag that Docker adds. */
function wholeName(name: string): string {
  const [path, tag = 'latest'] = splitName(name);
  const [first = '', ...rest] = path.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const hub = path.includes('/') ? 'docker.io/' : 'docker.io/library/';
  return `${isHost ? '' : hub}${path}:${tag}`;
}

/** `app:1.0` → `app` and `1.0`; a colon before a slash is that of a port. */
export function splitName(name: string): readonly [path: string, tag: string | undefined] {
  const [, path = name, tag] = /^(.+?)(?::([^:/]+))?$/.exec(name) ?? [];
  return [path, tag];
}

/** Whether a name is more than a tag. */
export function isWhole(name: string): boolean {
  return /[:/]/.test(name);
}

/** From the strictest to the loosest. */
function tests(wanted: string): readonly ((image: NamedImage) => boolean)[] {
  const [, name = '', digest] = /^(?:(.+)@)?(sha(?:256|512):[0-9a-f]{6,})$/.exec(wanted) ?? [];
  if (digest !== undefined) {
    const isIt = (image: NamedImage) => image.digest.startsWith(digest);
    return name === '' ? [isIt] : tests(name).map((fit) => (image) => fit(image) && isIt(image));
  }
  const some = (fit: (name: string) => boolean) => (image: NamedImage) => image.names.some(fit);
  const [, tag] = splitName(wanted);
  const tagged = tag === undefined ? `${wanted}:latest` : wanted;
  return [
    some((name) => name === wanted),
    some((name) => isWhole(name) && wholeName(name) === wholeName(wanted)),
    some((name) => isWhole(name) && wholeName(name).endsWith(`/${tagged}`)),
    some((name) => splitName(name)[1] === wanted),
  ];
}

/** The names, with a digest where a name is ambiguous. */
function listed(images: readonly NamedImage[]): string {
  const shown = images.map(({ names: [name], digest }) => {
    const isAlone = images.every((other) => other.names[0] !== name || other.digest === digest);
    const short = digest.slice(0, 'sha256:'.length + 12);
    return name !== undefined && isAlone
      ? quoted(name)
      : `${name === undefined ? '' : quoted(name)}@${short}`;
  });
  return [...new Set(shown)].join(', ') || 'none';
}
