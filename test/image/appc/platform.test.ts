// Labels as in docs/appc-checklist.md. Vectors of the reference are facts from github.com/appc/spec
// at 259c2ee (schema/types/labels_test.go; Apache-2.0, Copyright 2015 The appc Authors).
import { describe, expect, it } from 'vitest';
import { compatibleArchitectures, machineArchitecture, runsOn } from '../../../src/image/appc/platform.ts';
import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import type { ImageManifest } from '../../../src/image/appc/types.ts';

const manifestWith = (labels: unknown): ImageManifest =>
  parseImageManifest(
    new TextEncoder().encode(
      JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/test', labels }),
    ),
  );
const platform = (os: string, arch: string): unknown => [
  { name: 'os', value: os },
  { name: 'arch', value: arch },
];

describe('[A3.2] labels (aci.md#image-manifest-schema)', () => {
  it.each([
    ['linux', 'amd64'],
    ['linux', 'i386'],
    ['linux', 'aarch64'],
    ['linux', 'aarch64_be'],
    ['linux', 'armv6l'],
    ['linux', 'armv7l'],
    ['linux', 'armv7b'],
    ['linux', 'ppc64le'],
    ['linux', 'ppc64'],
    ['linux', 's390x'],
    ['freebsd', 'amd64'],
    ['freebsd', 'i386'],
    ['freebsd', 'arm'],
    ['darwin', 'x86_64'],
    ['darwin', 'i386'],
  ])('[A8.1] reference-only: %s/%s exists', (os, arch) => {
    expect(manifestWith(platform(os, arch)).labels).toHaveLength(2);
  });

  it.each([
    ['linux', 'arm64'],
    ['linux', 'arm64_be'],
    ['linux', 'arm'],
    ['linux', 'ppc64l'],
    ['linux', 'ppc64b'],
    ['linux', 'ppc64be'],
    ['linux', 'S390x'],
    ['linux', 'x86_64'],
    ['freebsd', 'armv7b'],
    ['OS/360', 'S/360'],
  ])('[A8.1] reference-only: %s/%s does not', (os, arch) => {
    expect(() => manifestWith(platform(os, arch))).toThrow(/\/labels: expected an "(os|arch)"/);
  });

  it.each([
    ['specification', [{ name: 'name', value: 'x' }], 'may not be called "name"'],
    ['specification', [{ name: 'name' }], 'may not be called "name"'],
    [
      'specification',
      [
        { name: 'arch', value: 'amd64' },
        { name: 'os', value: 'freebsd' },
        { name: 'arch', value: 'x86_64' },
      ],
      '/labels/2: the label "arch"',
    ],
    [
      'specification',
      [...['linux', 'freebsd'].map((value) => ({ name: 'os', value }))],
      '/labels/1: the label "os"',
    ],
    ['specification', [{ name: 'Version', value: '1' }], '/labels/0/name: expected an AC Identifier'],
    ['specification', [{ name: 'version', value: 1 }], '/labels/0/value: expected a string'],
    ['specification', [{ name: 'version' }], '/labels/0: the key "value" is missing'],
    ['specification', { version: '1' }, '/labels: expected a list'],
  ])('%s: %j are refused', (_source, labels, problem) => {
    expect(() => manifestWith(labels)).toThrow(problem);
  });

  it('specification: may be absent or have any text, and keep their order', () => {
    expect(manifestWith([]).labels).toEqual([]);
    const three = ['foo', 'bar', 'baz'].map((name) => ({ name, value: `of ${name}` }));
    expect(manifestWith(three).labels).toEqual(three);
    expect(manifestWith([{ name: 'foo', value: '' }]).labels).toEqual([{ name: 'foo', value: '' }]);
  });
});

describe('[A8.3] what a machine runs', () => {
  it.each([
    ['aarch64', true, ['aarch64', 'armv7l', 'armv6l']],
    ['aarch64', false, ['aarch64']],
    ['armv7l', false, ['armv7l', 'armv6l']],
    ['armv6l', false, ['armv6l']],
    ['armv7b', true, ['armv7b']],
    ['aarch64_be', true, ['aarch64_be']],
    ['amd64', true, ['amd64', 'i386']],
    ['amd64', false, ['amd64']],
    ['s390x', true, ['s390x']],
  ])('ours: %s with 32-bit user space %s runs %j', (arch, compat32, runs) => {
    expect(compatibleArchitectures({ arch, compat32 })).toEqual(runs);
  });

  it.each([
    ['aarch64', 'aarch64'],
    ['arm64', 'aarch64'],
    ['armv8l', 'armv7l'],
    ['armv7l', 'armv7l'],
    ['armv6l', 'armv6l'],
    ['x86_64', 'amd64'],
    ['i686', 'i386'],
    ['ppc64le', 'ppc64le'],
    ['riscv64', undefined],
    ['armv5tel', undefined],
    ['arm', undefined],
  ])('[A8.4] ours: uname -m %s is %s', (uname, arch) => {
    expect(machineArchitecture(uname)).toBe(arch);
  });

  it.each([
    ['linux/armv6l on an ARMv7 board', platform('linux', 'armv6l'), 'armv7l', false, true],
    [
      'linux/armv7l on an ARMv8 board with 32-bit user space',
      platform('linux', 'armv7l'),
      'aarch64',
      true,
      true,
    ],
    ['linux/armv7l on an ARMv8 board without', platform('linux', 'armv7l'), 'aarch64', false, false],
    ['linux/aarch64 on an ARMv7 board', platform('linux', 'aarch64'), 'armv7l', false, false],
    ['freebsd/amd64 on Linux', platform('freebsd', 'amd64'), 'amd64', true, false],
    ['an image of no system', [], 'armv7l', false, true],
    ['an image of any Linux', [{ name: 'os', value: 'linux' }], 'armv7l', false, true],
    // "arch is meaningful only if os is provided" (aci.md)
    ['an arch without an os [A8.2]', [{ name: 'arch', value: 'amd64' }], 'armv7l', false, true],
  ])('%s', (_what, labels, arch, compat32, runs) => {
    expect(runsOn(manifestWith(labels).labels, { arch, compat32 })).toBe(runs);
  });
});
