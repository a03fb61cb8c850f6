import { quoted } from '../aci/index.ts';
import { Refusal } from '../refusal/index.ts';
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
    ['ppc64le', [''], 'ppc64le'],
    ['ppc64', [''], 'ppc64'],
    ['s390x', [''], 's390x'],
  ];

/** The value of the `arch` label. @throws Refusal `image-arch-mismatch` for a platform that appc has no name for */
export function appcArchitecture({ os, architecture, variant }: Platform): string {
  const found = architectures.find(([name, variants]) => name === architecture && variants.includes(variant));
  if (os !== 'linux' || found === undefined) {
    throw new Refusal(
      'image-arch-mismatch',
      `the image is for ${quoted(formatPlatform({ os, architecture, variant }))}, which App Container images have no name for`,
    );
  }
  return found[2];
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
  const arch = appcArchitecture(wanted);
  const found = images.find(({ platform }) => platform !== undefined && isFor(platform, arch));
  if (found === undefined) {
    throw new Refusal(
      'not-found',
      `the image is not there for ${formatPlatform(wanted)}, but for ${there || 'nothing'}`,
    );
  }
  return found;
}

function isFor(platform: Platform, arch: string): boolean {
  return (
    platform.os === 'linux' &&
    architectures.some(
      ([name, variants, appc]) =>
        appc === arch && name === platform.architecture && variants.includes(platform.variant),
    )
  );
}
