import { describe, expect, it } from 'vitest';
import { architecturesOf, type KernelFacts } from '../../../src/device/host/architectures.ts';

/** Labels that the device runs, and the others with the reason. */
function lookAt(facts: KernelFacts): { runs: readonly string[]; lacks: Record<string, string> } {
  const { runs, capabilities } = architecturesOf(facts);
  expect(capabilities.filter(({ available }) => available)).toEqual(
    runs.map((name) => ({ name: `arch-${name}`, available: true, detail: '' })),
  );
  const lacking = capabilities.filter(({ available }) => !available);
  return { runs, lacks: Object.fromEntries(lacking.map(({ name, detail }) => [name, detail])) };
}

describe('the programs that a device runs, and its report of them [C33]', () => {
  const arm64 = { machine: 'aarch64', processArch: 'arm64' };
  const both = (why: string) => ({ 'arch-armv7l': why, 'arch-armv6l': why });

  it('includes 32-bit programs on ARMv8 if kernel and CPU support them', () => {
    expect(lookAt({ ...arm64, machine32: 'armv8l' })).toEqual({
      runs: ['aarch64', 'armv7l', 'armv6l'],
      lacks: {},
    });
  });

  it.each<[string, string | undefined, string]>([
    ['the kernel refuses the personality', '', 'the CPU has no 32-bit user space; deploy images for aarch64'],
    [
      'the kernel has only its own name',
      'aarch64',
      'the kernel was built without CONFIG_COMPAT; deploy images for aarch64',
    ],
    [
      'nobody asked the kernel',
      undefined,
      'whether 32-bit programs run is unknown: "systemctl restart wherry-arm32 wherryd" checks that; deploy images for aarch64',
    ],
  ])('is not 32-bit programs on ARMv8 when %s', (_when, machine32, why) => {
    expect(lookAt({ ...arm64, machine32 })).toEqual({ runs: ['aarch64'], lacks: both(why) });
  });

  it.each<[string, KernelFacts]>([
    ['on ARMv7', { machine: 'armv7l', processArch: 'arm' }],
    // The 32-bit Raspberry Pi OS has a 64-bit kernel on recent boards.
    ['of a 32-bit system under a 64-bit kernel', { machine: 'aarch64', processArch: 'arm' }],
    ['of one that calls itself so', { machine: 'armv8l', processArch: 'arm' }],
  ])('is programs for ARMv7 and ARMv6 %s', (_where, facts) => {
    expect(lookAt(facts)).toEqual({ runs: ['armv7l', 'armv6l'], lacks: {} });
  });

  it('is limited to ARMv6 programs on ARMv6', () => {
    expect(lookAt({ machine: 'armv6l', processArch: 'arm' })).toEqual({ runs: ['armv6l'], lacks: {} });
  });

  it('is not tested on x86-64, where every personality is accepted', () => {
    const { runs, lacks } = lookAt({ machine: 'x86_64', processArch: 'x64', machine32: 'i686' });
    expect(runs).toEqual(['amd64']);
    expect(Object.keys(lacks)).toEqual(['arch-i386']);
  });

  it('is unknown for a machine without a name in appc', () => {
    expect(() => architecturesOf({ machine: 'riscv64', processArch: 'riscv64' })).toThrow(
      'riscv64 is not an architecture of appc',
    );
  });
});
