import type { NameValue } from './types.ts';

/**
 * Operating systems and their architectures (the reference's schema/types/labels.go; the list in
 * aci.md is out of date).
 */
export const validArchitectures: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'linux',
    ['amd64', 'i386', 'aarch64', 'aarch64_be', 'armv6l', 'armv7l', 'armv7b', 'ppc64', 'ppc64le', 's390x'],
  ],
  ['freebsd', ['amd64', 'i386', 'arm']],
  ['darwin', ['x86_64', 'i386']],
]);

/** What a Linux machine can execute. */
export interface Machine {
  /** The kernel's native architecture by its appc name. */
  readonly arch: string;
  /** Whether its CPU and kernel run 32-bit programs too: AArch32 at EL0, or i386 on amd64. */
  readonly compat32: boolean;
}

/**
 * Native architecture → what else it runs: always, and only with 32-bit user space. Byte orders
 * never mix.
 */
const alsoRuns: Readonly<
  Record<string, { readonly always: readonly string[]; readonly compat32: readonly string[] }>
> = {
  aarch64: { always: [], compat32: ['armv7l', 'armv6l'] },
  armv7l: { always: ['armv6l'], compat32: [] },
  amd64: { always: [], compat32: ['i386'] },
};

/** Names of `uname -m` and Node's `process.arch` that differ from those of appc. */
const kernelNames: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x64', 'amd64'],
  ['ia32', 'i386'],
  ['i486', 'i386'],
  ['i586', 'i386'],
  ['i686', 'i386'],
  ['arm64', 'aarch64'],
  // A 64-bit kernel seen by a 32-bit process.
  ['armv8l', 'armv7l'],
  ['armv8b', 'armv7b'],
]);

/**
 * The appc architecture for the output of `uname -m`, or undefined for one without a name in appc.
 */
export function machineArchitecture(uname: string): string | undefined {
  const name = kernelNames.get(uname) ?? uname;
  return validArchitectures.get('linux')?.includes(name) === true ? name : undefined;
}

/**
 * The `arch` labels that `machine` can run, best first. The specification compares for equality
 * only, which keeps an armv6l image off every ARMv7 board; this list is the explicit extension.
 */
export function compatibleArchitectures(machine: Machine): readonly string[] {
  const more = alsoRuns[machine.arch];
  return [machine.arch, ...(more?.always ?? []), ...(machine.compat32 ? (more?.compat32 ?? []) : [])];
}

/**
 * Whether an image with these labels runs on `machine`. A missing `os` means independent of both; a
 * missing `arch` independent of the architecture (aci.md#image-manifest-schema).
 */
export function runsOn(labels: readonly NameValue[], machine: Machine): boolean {
  const os = labels.find(({ name }) => name === 'os')?.value;
  const arch = labels.find(({ name }) => name === 'arch')?.value;
  if (os === undefined) return true;
  return os === 'linux' && (arch === undefined || compatibleArchitectures(machine).includes(arch));
}
