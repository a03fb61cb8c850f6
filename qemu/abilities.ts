import { loadBoardConfig, type EmulatedConfig, type NativeConfig } from './board-config.ts';
import { availableControllers } from './native/control-group.ts';
import { hostSealsFiles, lacksLoops, mayResize, runs32Bit } from './native/host-kernel.ts';

/**
 * The differences between boards. Tests require an ability, never a board's name.
 *
 * | Ability | A board with it |
 * |---|---|
 * | power-loss | loses unflushed writes in a power cut |
 * | clock | has a clock that can be set |
 * | disk | has a block device of its own, with counters |
 * | kernel | has a kernel of its own, whose settings and caches can be changed |
 * | controllers | limits memory, CPU, tasks and I/O by control groups |
 * | fs-verity | has a file system that seals files |
 * | loop | mounts file systems in files, by loop devices |
 * | resize | enlarges a file system that is mounted |
 * | arm | runs ARM programs: package, addons and images as on a device |
 * | 32-bit | runs 32-bit ARM programs |
 */
export type Ability =
  | 'power-loss'
  | 'clock'
  | 'disk'
  | 'kernel'
  | 'controllers'
  | 'fs-verity'
  | 'loop'
  | 'resize'
  | 'arm'
  | '32-bit';

/** The abilities that a board lacks, each with the reason. */
export type Lacks = Readonly<Partial<Record<Ability, string>>>;

/**
 * Returns the abilities that a board lacks on this machine.
 * @throws BoardConfigError if there is no such board
 */
export function lacksOf(name: string): Lacks {
  const { config } = loadBoardConfig(name);
  return config.kind === 'emulated' ? emulatedLacks(config) : nativeLacks(config);
}

function emulatedLacks(config: EmulatedConfig): Lacks {
  return {
    ...(config.disk.verity === true ? {} : { 'fs-verity': 'its ext4 does not have the feature verity' }),
    ...(config.runs32Bit === false ? { '32-bit': 'its CPU has no 32-bit user space' } : {}),
  };
}

const limiting = ['cpu', 'io', 'memory', 'pids'];

function nativeLacks(config: NativeConfig): Lacks {
  const controllers = availableControllers();
  const missing = limiting.filter((name) => !controllers.includes(name));
  const loop = lacksLoops();
  return {
    'power-loss': 'this machine keeps unflushed writes of the board in memory',
    clock: "its clock is this machine's",
    disk: 'its disk is a directory of this machine',
    kernel: "its kernel is this machine's",
    ...(missing.length > 0
      ? { controllers: `this machine's cgroup v2 has no controller for ${missing.join(', ')}` }
      : {}),
    ...(hostSealsFiles() ? {} : { 'fs-verity': "this machine's file system does not seal files" }),
    ...(loop === undefined ? {} : { loop }),
    ...(mayResize() ? {} : { resize: 'this machine lacks the capability CAP_SYS_RESOURCE' }),
    ...(config.arch === 'amd64' ? { arm: 'it runs x86-64 programs' } : {}),
    ...(config.arch === 'arm64' && runs32Bit() ? {} : { '32-bit': 'it does not run 32-bit ARM programs' }),
  };
}
