import { quoted } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { Descriptor, Platform } from './documents.ts';

/**
 * Architectures of OCI (names of Go, with a variant) and of appc (the table of schema/types/labels.go). A 32-bit ARM without a
 * variant is v7, as containerd has it; the table of the appc reference, which takes it for v6, is older than that habit.
 */
const architectures: readonly (readonly [architecture: string, variants: readonly string[], appc: string])[] =
  [
    ['amd64', ['', 'v1', 'v2', 'v3'], 'amd64'],
    ['386', [''], 'i386'],
    ['arm64', ['', 'v8'], 'aarch64'],
    ['arm', ['v7', ''], 'armv7l'],
    ['arm', ['v6'], 'armv6l'],
    // 32-bit programs for ARMv8, for which appc has no name of its own: what they use beyond ARMv7 shows on the device.
    ['arm', ['v8'], 'armv7l'],
    ['ppc64le', [''], 'ppc64le'],
    ['ppc64', [''], 'ppc64'],
    ['s390x', [''], 's390x'],
  ];

type Row = (typeof architectures)[number];

function rowOf({ os, architecture, variant }: Platform): Row | undefined {
  if (os !== 'linux') return undefined;
  return architectures.find(([name, variants]) => name === architecture && variants.includes(variant));
}

/**
 * The value of the `arch` label.
 * @param what the image, in messages
 * @throws Refusal `image-arch-mismatch` for a platform that appc has no name for
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
 * What an image is for: its config says it, its index adds the variant, which configs of older tools leave out.
 * @param what the image, in messages
 * @param wanted what the operator asked for
 * @throws Refusal `image-arch-mismatch` when they contradict each other
 */
export function platformOf(
  what: string,
  config: Platform,
  index: Platform | undefined,
  wanted: Platform | undefined,
): Platform {
  const variant =
    config.variant === '' && config.architecture === index?.architecture ? index.variant : config.variant;
  const full = { ...config, variant };
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

/** The platform of OCI for labels of appc; undefined where there is none. */
export function ociPlatform(os: string, arch: string): Platform | undefined {
  const found = architectures.find(([, , appc]) => appc === arch);
  if (found === undefined) return undefined;
  const [architecture, [variant = '']] = found;
  return { os, architecture, variant };
}

/** `linux/arm/v7`. @throws Refusal `usage` */
export function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant = '', ...more] = text.split('/');
  if (os === '' || architecture === '' || more.length > 0) {
    throw new Refusal(
      'usage',
      `--platform takes OS/ARCHITECTURE[/VARIANT] such as linux/arm/v7, not ${JSON.stringify(text)}`,
    );
  }
  return { os, architecture, variant };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os || 'any', architecture || 'any', ...(variant === '' ? [] : [variant])].join('/');
}

/**
 * The one manifest of an index for `wanted`: the same architecture by its appc name, so that `arm64` finds `arm64/v8`.
 * @throws Refusal `not-found` with what there is, `usage` when there are several and none was asked for
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform | undefined): Descriptor {
  // Attestations of BuildKit are listed as images of an unknown platform.
  const images = manifests.filter(({ platform }) => platform === undefined || platform.os !== 'unknown');
  const [only, ...others] = images;
  if (only !== undefined && others.length === 0 && (wanted === undefined || only.platform === undefined))
    return only;
  const there = images
    .map(({ platform }) => (platform ? quoted(formatPlatform(platform)) : 'an unnamed one'))
    .join(', ');
  if (wanted === undefined) {
    throw new Refusal(
      'usage',
      `the image is there for several platforms (${there}); choose one with --platform`,
    );
  }
  appcArchitecture('--platform', wanted);
  const found = images.find(({ platform }) => platform !== undefined && rowOf(platform) === rowOf(wanted));
  if (found === undefined) {
    throw new Refusal(
      'not-found',
      `the image is not there for ${formatPlatform(wanted)}, but for ${there || 'nothing'}`,
    );
  }
  return found;
}
