/**
 * The targets of packages: one row per architecture, one per Node ABI. All other code uses these
 * tables.
 */

export type DebianArch = 'arm64' | 'armhf' | 'amd64';

export interface Target {
  /** Debian's name, as in the package's file name. */
  readonly arch: DebianArch;
  /** `process.arch` on such a machine. */
  readonly nodeArch: 'arm64' | 'arm' | 'x64';
  /** GNU triplet: prefix of the compiler and name of the library directory. */
  readonly triplet: string;
  /** ELF `e_machine` (System V ABI) and word size in bits. */
  readonly elf: { readonly machine: number; readonly bits: 32 | 64 };
  /** Debian package with the C++ compiler on a host of another architecture. */
  readonly crossCompiler: string;
}

export const targets: Readonly<Record<DebianArch, Target>> = {
  arm64: {
    arch: 'arm64',
    nodeArch: 'arm64',
    triplet: 'aarch64-linux-gnu',
    elf: { machine: 183, bits: 64 },
    crossCompiler: 'g++-aarch64-linux-gnu',
  },
  armhf: {
    arch: 'armhf',
    nodeArch: 'arm',
    triplet: 'arm-linux-gnueabihf',
    elf: { machine: 40, bits: 32 },
    crossCompiler: 'g++-arm-linux-gnueabihf',
  },
  amd64: {
    arch: 'amd64',
    nodeArch: 'x64',
    triplet: 'x86_64-linux-gnu',
    elf: { machine: 62, bits: 64 },
    crossCompiler: 'g++-x86-64-linux-gnu',
  },
};

export const allArchs: readonly DebianArch[] = ['arm64', 'armhf', 'amd64'];

/** The architecture of this machine; undefined if there is no package for it. */
export function hostArch(nodeArch: string = process.arch): DebianArch | undefined {
  return allArchs.find((arch) => targets[arch].nodeArch === nodeArch);
}

/**
 * The Debian suites that devices run. Each has one Node, and addons are built for the module ABI
 * (`process.versions.modules`) of each: 115 (Node 20) in trixie, 137 (Node 24) in forky at the time
 * of writing. Node 22 (ABI 127) is in no suite: there wherry logs to stderr instead.
 */
export const suites = ['trixie', 'forky'] as const;

export type Suite = (typeof suites)[number];
