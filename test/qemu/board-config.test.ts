import { describe, expect, it } from 'vitest';
import { hostArch } from '../../cross/index.ts';
import {
  boardNames,
  loadBoardConfig,
  packagesOf,
  parseBoardConfig,
  parsePackageSets,
} from '../../qemu/board-config.ts';

const good = {
  kind: 'emulated',
  name: 'some-board',
  description: 'A board',
  arch: 'arm64',
  suite: 'trixie',
  machine: 'virt',
  cpu: 'cortex-a53',
  smp: 2,
  memoryMiB: 512,
  disk: { bus: 'virtio-mmio', sizeMiB: 2048 },
  network: 'virtio-mmio',
  console: 'ttyAMA0',
  kernelPackage: 'linux-image-arm64',
  packageSets: ['base'],
  nodeAbi: 115,
};
const parse = (change: Record<string, unknown>) => () => {
  const config = parseBoardConfig(JSON.stringify({ ...good, ...change }), 'some-board.json');
  if (config.kind !== 'emulated') throw new Error('the board is not emulated');
  return config;
};

describe('a board declaration', () => {
  it('is accepted with and without its optional fields: device tree, fs-verity, version of the GIC', () => {
    expect(parse({})()).toEqual(good);
    expect(parse({ dtb: 'bcm2837-rpi-3-b.dtb' })().dtb).toBe('bcm2837-rpi-3-b.dtb');
    expect(parse({ disk: { ...good.disk, verity: true } })().disk.verity).toBe(true);
    expect(parse({ gicVersion: 3 })().gicVersion).toBe(3);
  });

  it('of a native board has no machine, and the architecture of this machine', () => {
    const native = { name: 'some', description: 'A board', kind: 'native', suite: 'trixie' };
    const text = (change: object) =>
      JSON.stringify({ ...native, packageSets: ['base'], nodeAbi: 115, ...change });
    expect(parseBoardConfig(text({}), 'some.json').arch).toBe(hostArch());
    expect(() => parseBoardConfig(text({ cpu: 'cortex-a53' }), 'some.json')).toThrow(
      'some.json: cpu: is not a known field',
    );
  });

  it.each([
    ['an unknown field', { colour: 'red' }, 'some-board.json: colour: is not a known field'],
    [
      'text instead of true or false',
      { disk: { ...good.disk, verity: 'yes' } },
      'some-board.json: disk.verity: must be true or false',
    ],
    [
      'an unknown field inside another',
      { disk: { ...good.disk, speed: 1 } },
      'some-board.json: disk.speed: is not a known field',
    ],
    ['a missing field', { cpu: undefined }, 'some-board.json: cpu: is missing'],
    [
      'an architecture that is not supported',
      { arch: 'riscv64' },
      'some-board.json: arch: must be one of: arm64, armhf',
    ],
    [
      'memory as text',
      { memoryMiB: '512' },
      'some-board.json: memoryMiB: must be a whole number from 128 to 8192',
    ],
    [
      'a CPU that would add a QEMU option',
      { cpu: 'max,foo=on' },
      'some-board.json: cpu: must be the name of a QEMU CPU',
    ],
    [
      'a package set twice',
      { packageSets: ['base', 'base'] },
      'some-board.json: packageSets: must be a list',
    ],
    ['a list instead of an object', { disk: [] }, 'some-board.json: disk must be an object'],
  ])('with %s is refused by file and field', (_what, change, message) => {
    expect(parse(change)).toThrow(message);
  });

  it('that is not JSON is refused by file', () => {
    expect(() => parseBoardConfig('{', 'x.json')).toThrow('x.json: is not JSON');
  });

  it('lists the packages of its sets and its kernel, each once', () => {
    const sets = parsePackageSets('{"base":["bash","crun"],"more":["crun","podman"]}', 'packages.json');
    const config = { ...parse({})(), packageSets: ['base', 'more'] };
    expect(packagesOf(config, sets)).toEqual(['bash', 'crun', 'linux-image-arm64', 'podman']);
  });

  it('may not name a package set that does not exist', () => {
    expect(() => packagesOf(parse({ packageSets: ['constructor'] })(), {})).toThrow(
      'no set is called constructor',
    );
  });
});

describe('the boards in board-configs/', () => {
  it.each(boardNames())('%s is valid', (name) => {
    expect(loadBoardConfig(name).packages).toContain('systemd');
  });

  it('are listed when an unknown one is named', () => {
    expect(() => loadBoardConfig('nope')).toThrow(/There is no board called "nope"; there are: .*virt-armv8/);
  });
});
