import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached, contentKey, fileParts } from '../cross/index.ts';
import { poll } from './guest-channel.ts';
import { run, type BoardImage, type Progress } from './image.ts';
import { Machine } from './machine.ts';
import { checkDiskSpace, checkPrograms } from './preconditions.ts';
import { qemuProgram } from './qemu-args.ts';

/**
 * A board that was booted once and stopped: any number of boards can resume from it, each with its
 * own layer.
 */
export type Snapshot = {
  readonly key: string;
  readonly memoryMiB: number;
  readonly disk: string;
  readonly memory: string;
  readonly state: string;
};

const files = { disk: 'disk.qcow2', memory: 'memory', state: 'state' } as const;

/** Makes an empty layer over a disk. */
export async function makeLayer(base: string, format: 'raw' | 'qcow2', layer: string): Promise<void> {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', format, layer], 'No disk layer');
}

/** Returns the snapshot of a board that has just booted, made now or before. */
export async function bootedSnapshot(
  image: BoardImage,
  memoryMiB: number,
  progress: Progress,
): Promise<Snapshot> {
  const { config } = image;
  checkPrograms([qemuProgram(config.arch), 'qemu-img', 'setpriv']);
  const version = execFileSync(qemuProgram(config.arch), ['--version'], { encoding: 'utf8' });
  const key = contentKey([
    image.key,
    version,
    String(memoryMiB),
    String(config.smp),
    ...fileParts(['qemu-args.ts', 'snapshot.ts'].map((file) => join(import.meta.dirname, file))),
  ]);
  return await snapshot(`booted-${config.name}`, key, memoryMiB, async (dir) => {
    progress(`booting ${config.name} once`);
    await makeLayer(image.disk, 'raw', join(dir, files.disk));
    return await startFor(image, memoryMiB, dir);
  });
}

/** Returns the snapshot of a board with packages installed on it: their bytes decide which. */
export async function installedSnapshot(
  image: BoardImage,
  base: Snapshot,
  debs: readonly string[],
  progress: Progress,
): Promise<Snapshot> {
  const contents = debs.map((path) => readFileSync(path));
  const key = contentKey([base.key, ...contents]);
  const kind = `installed-${image.config.name}`;
  return await snapshot(kind, key, base.memoryMiB, async (dir) => {
    progress(`installing ${debs.map((path) => basename(path)).join(', ')} on ${image.config.name}`);
    await makeLayer(base.disk, 'qcow2', join(dir, files.disk));
    // Memory must be shared to be saved again, so this machine works on its own copy.
    await run('cp', ['--sparse=always', base.memory, join(dir, files.memory)], 'No copy of the memory');
    const machine = await startFor(image, base.memoryMiB, dir, base.state);
    await machine.resume();
    try {
      const paths: string[] = [];
      for (const [index, data] of contents.entries()) {
        const text = `/run/install/${index}.deb`;
        paths.push(text);
        await agent(machine, { verb: 'put', option: '0644', text, data });
      }
      const text = `date -u -s @${Date.now() / 1000} >&2 && dpkg -i ${paths.join(' ')} >&2 && rm -r /run/install`;
      await agent(machine, { verb: 'run', option: '280', text });
      return machine;
    } catch (error) {
      await machine.kill();
      throw error;
    }
  });
}

/** Has `start` boot a machine, waits until it is idle, and saves it. */
async function snapshot(
  kind: string,
  key: string,
  memoryMiB: number,
  start: (dir: string) => Promise<Machine>,
): Promise<Snapshot> {
  const dir = await cached(kind, key, async (buildDir) => {
    checkDiskSpace(buildDir);
    const machine = await start(buildDir);
    try {
      await machine.resume();
      await settled(machine);
      await machine.saveState(join(buildDir, files.state));
    } finally {
      await machine.kill();
    }
    rmSync(join(buildDir, 'run'), { recursive: true, force: true });
  });
  return {
    key,
    memoryMiB,
    disk: join(dir, files.disk),
    memory: join(dir, files.memory),
    state: join(dir, files.state),
  };
}

async function startFor(image: BoardImage, memoryMiB: number, dir: string, state?: string): Promise<Machine> {
  const runDir = join(dir, 'run');
  mkdirSync(runDir);
  return await Machine.start(
    image.config,
    memoryMiB,
    {
      kernel: image.kernel,
      initrd: image.initrd,
      dtb: image.dtb,
      disk: { kind: 'qcow2', path: join(dir, files.disk) },
      memory: { path: join(dir, files.memory), share: true },
      runDir,
    },
    state,
  );
}

/**
 * Waits until nothing is left to start, then syncs the disk and drops page cache that a restored
 * board does not need.
 */
async function settled(machine: Machine): Promise<void> {
  const text =
    'state=$(systemctl is-system-running); echo "$state"; [ -z "$(systemctl list-jobs --no-legend)" ] && case $state in running|degraded) sync;; *) exit 1;; esac';
  await poll('the board to finish its start', 300_000, async () => {
    const { status } = await machine.channel.request({ verb: 'run', option: '60', text }, 300_000);
    return status === 0;
  });
}

async function agent(machine: Machine, request: Parameters<Machine['channel']['request']>[0]): Promise<void> {
  const { status, stderr } = await machine.channel.request(request, 300_000);
  if (status !== 0) throw new Error(`The packages could not be installed:\n${stderr.toString().trim()}`);
}
