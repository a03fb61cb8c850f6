import { quoted } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Descriptor, Platform } from './documents.ts';

/**
 * Architectures of OCI (names of Go, with a variant) and of appc (the table of
 * schema/types/labels.go). A 32-bit ARM without a variant is v7, as in containerd; the table of the
 * appc reference, where it is v6, is older than that convention.
 */
const architectures: readonly (readonly [architecture: string, variants: readonly string[], appc: string])[] =
  [
    // Whether a processor supports v2 to v4 shows only on the device; likewise v8.1 and later of
    // ARM.
    ['amd64', ['', 'v1', 'v2', 'v3', 'v4'], 'amd64'],
    ['386', ['', 'sse2', 'softfloat'], 'i386'],
    [
      'arm64',
      ['', 'v8', 'v8.0', 'v8.1', 'v8.2', 'v8.3', 'v8.4', 'v8.5', 'v8.6', 'v8.7', 'v8.8', 'v8.9', 'v9'],
      'aarch64',
    ],
    ['arm', ['v7', ''], 'armv7l'],
    ['arm', ['v6'], 'armv6l'],
    // Programs for ARMv5 run on ARMv6, the lowest ARM with a name in appc.
    ['arm', ['v5'], 'armv6l'],
    // appc has no name for 32-bit programs for ARMv8: whether they need more than ARMv7 shows only
    // on the device.
    ['arm', ['v8'], 'armv7l'],
    ['ppc64le', ['', 'power8', 'power9', 'power10'], 'ppc64le'],
    ['ppc64', [''], 'ppc64'],
    ['s390x', [''], 's390x'],
  ];

/**
 * Other names that tools write: containerd's (platforms, `normalizeArch`), Debian's, the kernel's
 * (`uname -m`), those of Docker's official images (bashbrew) and appc's own.
 */
const aliases: ReadonlyMap<string, readonly [architecture: string, variant: string]> = new Map([
  ['x86_64', ['amd64', '']],
  ['x86-64', ['amd64', '']],
  ['i386', ['386', '']],
  ['i486', ['386', '']],
  ['i586', ['386', '']],
  ['i686', ['386', '']],
  ['aarch64', ['arm64', '']],
  ['armhf', ['arm', 'v7']],
  ['armv7', ['arm', 'v7']],
  ['armv7l', ['arm', 'v7']],
  ['armel', ['arm', 'v6']],
  ['armv6', ['arm', 'v6']],
  ['armv6l', ['arm', 'v6']],
  ['armv8l', ['arm', 'v8']],
  ['ppc64el', ['ppc64le', '']],
  ['arm64v8', ['arm64', '']],
  ['arm32v5', ['arm', 'v5']],
  ['arm32v6', ['arm', 'v6']],
  ['arm32v7', ['arm', 'v7']],
]);

/**
 * The platform with the names of the table above: lower case, aliases resolved, and `v` before the
 * number of a variant.
 */
function normal({ os, architecture, variant }: Platform): Platform {
  const lower = architecture.toLowerCase();
  const [name, own] = aliases.get(lower) ?? [lower, ''];
  const said = variant.toLowerCase().replace(/^(?=\d)/, 'v');
  return {
    os: os.toLowerCase(),
    architecture: name,
    variant: said === '' || aliases.has(lower) ? own || said : said,
  };
}

type Row = (typeof architectures)[number];

function rowOf(platform: Platform): Row | undefined {
  const { os, architecture, variant } = normal(platform);
  if (os !== 'linux') return undefined;
  return architectures.find(([name, variants]) => name === architecture && variants.includes(variant));
}

/**
 * The value of the `arch` label.
 * @param what the image, in messages
 * @throws Refusal `image-arch-mismatch` for a platform without a name in appc
 */
export function appcArchitecture(what: string, platform: Platform): string {
  const found = rowOf(platform);
  if (found === undefined) {
    throw new Refusal(
      'image-arch-mismatch',
      `${what}: it is for ${quoted(formatPlatform(platform))}, which App Container Images have no name for`,
    );
  }
  return found[2];
}

/**
 * The platform of an image, from its config. The index adds the variant, which configs of older
 * tools leave out.
 * @param what the image, in messages
 * @param wanted the platform that the operator requested
 * @throws Refusal `image-arch-mismatch` when they contradict each other
 */
export function platformOf(
  what: string,
  config: Platform,
  index: Platform | undefined,
  wanted: Platform | undefined,
): Platform {
  const full = filled(config, index, wanted);
  if (full.architecture === '') {
    throw new Refusal(
      'image-arch-mismatch',
      `${what}: neither its config nor its index names a platform; give a --platform such as linux/arm/v7`,
    );
  }
  const row = rowOf(full);
  const claims = [
    ['its index says that it is for', index],
    ['--platform asks for', wanted],
  ] as const;
  for (const [says, claimed] of claims) {
    if (claimed === undefined || claimed.architecture === '' || rowOf(claimed) === row) continue;
    throw new Refusal(
      'image-arch-mismatch',
      `${what}: ${says} ${quoted(formatPlatform(claimed))}, its config says ${quoted(formatPlatform(full))}`,
    );
  }
  return full;
}

/** Fills what the config leaves out from the index, then from the operator's request. */
function filled(config: Platform, index: Platform | undefined, wanted: Platform | undefined): Platform {
  const sources = [config, index, wanted].filter((one) => one !== undefined);
  const architecture = sources.map((one) => one.architecture).find((name) => name !== '') ?? '';
  const os = sources.map((one) => one.os).find((name) => name !== '') ?? 'linux';
  // The request determines the variant only if neither config nor index names an architecture.
  const saying =
    config.architecture === '' && index === undefined ? sources : sources.filter((one) => one !== wanted);
  const isOf = (one: Platform) => normal(one).architecture === normal({ ...one, architecture }).architecture;
  const variant = saying.filter(isOf).find((one) => one.variant !== '')?.variant ?? config.variant;
  return { os, architecture, variant };
}

/** The platform of OCI for labels of appc; undefined if there is none. */
export function ociPlatform(os: string, arch: string): Platform | undefined {
  const found = architectures.find(([, , appc]) => appc === arch);
  if (found === undefined) return undefined;
  const [architecture, [variant = '']] = found;
  return { os, architecture, variant };
}

/** `linux/arm/v7`. @throws Refusal `usage` */
export function parsePlatform(text: string): Platform {
  // An architecture alone is one of Linux, as containerd reads it.
  const full = text.includes('/') || rowOf(ofLinux(text)) === undefined ? text : `linux/${text}`;
  const [os = '', architecture = '', variant = '', ...more] = full.split('/');
  if (os === '' || architecture === '' || more.length > 0) {
    throw new Refusal(
      'usage',
      `--platform takes OS/ARCHITECTURE[/VARIANT] such as linux/arm/v7, not ${JSON.stringify(text)}`,
    );
  }
  return { os, architecture, variant };
}

function isSamePlatform(one: Platform | undefined, other: Platform | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return formatPlatform(normal(one)) === formatPlatform(normal(other));
}

function ofLinux(architecture: string): Platform {
  return { os: 'linux', architecture, variant: '' };
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os || 'any', architecture || 'any', ...(variant === '' ? [] : [variant])].join('/');
}

/**
 * The one manifest of an index for `wanted`: an exact match, or else the same architecture by its
 * appc name, so that `arm64` finds `arm64/v8`.
 * @param what the image, in messages
 * @throws Refusal `not-found` with the available platforms, `usage` when several fit, or when there
 *   are several and none was requested
 */
export function choosePlatform(
  manifests: readonly Descriptor[],
  wanted: Platform | undefined,
  what: string,
): Descriptor {
  // Attestations of BuildKit are listed as images of an unknown platform.
  const images = manifests.filter(({ platform }) => platform === undefined || platform.os !== 'unknown');
  const [only, ...others] = images;
  const isAlone = others.every(
    ({ digest, platform }) => digest === only?.digest && isSamePlatform(platform, only.platform),
  );
  if (only !== undefined && isAlone && (wanted === undefined || only.platform === undefined)) return only;
  const there = images
    .map(({ platform, digest }) =>
      platform
        ? quoted(formatPlatform(platform))
        : `@${digest.slice(0, 19)}, which does not name its platform`,
    )
    .join(', ');
  if (wanted === undefined) {
    const isKnown = images.every(({ platform }) => platform !== undefined);
    const how = isKnown ? 'choose one with --platform' : 'choose one with SOURCE@DIGEST';
    throw new Refusal(
      'usage',
      isKnown
        ? `${what}: the image is available for several platforms (${there}); ${how}`
        : `${what}: there are several images (${there}); ${how}`,
    );
  }
  appcArchitecture('--platform', wanted);
  const same = (one: Platform | undefined, fits: (one: Platform) => boolean) =>
    one !== undefined && fits(one);
  const exact = images.filter(({ platform }) =>
    same(platform, (one) => formatPlatform(normal(one)) === formatPlatform(normal(wanted))),
  );
  const fits =
    exact.length > 0
      ? exact
      : images.filter(({ platform }) => same(platform, (one) => rowOf(one) === rowOf(wanted)));
  const [found, ...more] = fits;
  if (found === undefined) {
    throw new Refusal(
      'not-found',
      `${what}: the image is not available for ${formatPlatform(wanted)}, but for ${there || 'nothing'}`,
    );
  }
  if (more.some(({ digest }) => digest !== found.digest)) {
    const which = fits.map(
      ({ platform, digest }) => `${platform ? formatPlatform(platform) : ''}@${digest.slice(0, 19)}`,
    );
    throw new Refusal(
      'usage',
      `${what}: several images are for ${formatPlatform(wanted)} (${which.join(', ')}); choose one with SOURCE@DIGEST`,
    );
  }
  return found;
}
