import { join } from 'node:path';
import type { EmulatedConfig } from './board-config.ts';
import { agentCount, portName } from './guest-files.ts';

/** Where the board's root disk comes from. */
export type DiskSource =
  { readonly kind: 'qcow2'; readonly path: string } | { readonly kind: 'nbd'; readonly socket: string };

export type MachineFiles = {
  readonly kernel: string;
  readonly initrd: string;
  readonly dtb: string | undefined;
  readonly disk: DiskSource;
  /** The board's memory as a file: shared to make a snapshot, private to start from one. */
  readonly memory: { readonly path: string; readonly share: boolean } | undefined;
  /** For sockets and the console's log. */
  readonly runDir: string;
  /** What the hardware clock shows at power-on; without it that of the host. */
  readonly hardwareClock?: Date | undefined;
};

/** The sockets that QEMU opens below its run directory. */
export const runPaths = {
  qmp: (dir: string) => join(dir, 'qmp.sock'),
  console: (dir: string) => join(dir, 'console.sock'),
  consoleLog: (dir: string) => join(dir, 'console.log'),
  agent: (dir: string, agent: number) => join(dir, `rig${agent}.sock`),
};

/** The id of the root disk's device, which its counters are found by. */
export const diskDevice = 'root-disk';
/** The id of the network card. */
export const networkDevice = 'net0';

/** The QEMU program for an architecture. */
export function qemuProgram(arch: EmulatedConfig['arch']): string {
  return { arm64: 'qemu-system-aarch64', armhf: 'qemu-system-arm' }[arch];
}

/**
 * QEMU's arguments for a board. The machine starts stopped (`-S`), so that the caller can set links
 * and ports before the first instruction.
 * @param incoming wait for a saved state instead of booting
 */
export function qemuArgs(
  config: EmulatedConfig,
  memoryMiB: number,
  files: MachineFiles,
  incoming: boolean,
): string[] {
  const memory =
    files.memory === undefined
      ? `memory-backend-ram,id=ram0,size=${memoryMiB}M`
      : `memory-backend-file,id=ram0,size=${memoryMiB}M,mem-path=${files.memory.path},share=${files.memory.share ? 'on' : 'off'}`;
  const commandLine = [
    `console=${config.console}`,
    'quiet',
    'loglevel=4',
    'net.ifnames=0',
    'audit=0',
    'apparmor=0',
    'selinux=0',
    'mitigations=off',
  ];
  const gic = config.gicVersion === undefined ? '' : `,gic-version=${config.gicVersion}`;
  const socket = (id: string, path: string, more = ''): string =>
    `socket,id=${id},path=${path},server=on,wait=off${more}`;
  return [
    ...['-nodefaults', '-display', 'none', '-S', '-no-user-config'],
    ...['-M', `${config.machine}${gic},memory-backend=ram0`, '-cpu', config.cpu],
    ...['-smp', String(config.smp), '-m', String(memoryMiB), '-object', memory],
    ...['-kernel', files.kernel, '-initrd', files.initrd, '-append', commandLine.join(' ')],
    ...(files.dtb === undefined ? [] : ['-dtb', files.dtb]),
    ...['-rtc', `base=${files.hardwareClock?.toISOString().slice(0, 19) ?? 'utc'},clock=host`],
    ...['-chardev', socket('qmp', runPaths.qmp(files.runDir)), '-mon', 'chardev=qmp,mode=control'],
    ...[
      '-chardev',
      socket('console', runPaths.console(files.runDir), `,logfile=${runPaths.consoleLog(files.runDir)}`),
    ],
    ...['-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-device'],
    ...Array.from({ length: agentCount }, (_, agent) => [
      ...['-chardev', socket(`rig${agent}`, runPaths.agent(files.runDir, agent))],
      ...['-device', `virtserialport,chardev=rig${agent},name=${portName(agent)}`],
    ]).flat(),
    ...['-netdev', 'user,id=user0', '-device', `virtio-net-device,netdev=user0,id=${networkDevice}`],
    ...['-blockdev', JSON.stringify(blockNode(files.disk))],
    ...['-device', `virtio-blk-device,drive=disk,id=${diskDevice}`],
    ...['-device', 'virtio-rng-device'],
    ...(incoming ? ['-incoming', 'defer'] : []),
  ];
}

function blockNode(disk: DiskSource): Record<string, unknown> {
  switch (disk.kind) {
    case 'qcow2':
      return {
        driver: 'qcow2',
        'node-name': 'disk',
        discard: 'unmap',
        file: { driver: 'file', filename: disk.path },
      };
    case 'nbd':
      return {
        driver: 'nbd',
        'node-name': 'disk',
        discard: 'unmap',
        server: { type: 'unix', path: disk.socket },
      };
  }
}
