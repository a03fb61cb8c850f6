import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle } from '../../cross/bundle.ts';
import { bundleUnits, unitBundle } from '../../cross/unit-bundle.ts';

const root = resolve(import.meta.dirname, '../..');

/** The cost of a program. */
export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly processorSeconds: number;
  readonly wallSeconds: number;
  readonly mostMemoryMb: number;
}

/** One line of `wherry sim --json`. */
export interface SimLine {
  readonly atMs: number;
  readonly connected: number;
  readonly attempts: number;
  readonly connections: number;
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  readonly bytesPerDevice: number;
}

/**
 * `wherry` of this tree as its packages have it, each run in a process of its own. Databases are
 * loaded from the dependencies of the tree.
 */
export class Programs {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @param directory where it may write; it has `fleet`, too */
  static async make(directory: string): Promise<Programs> {
    const nodeModules = join(root, 'node_modules');
    const entries = { wherry: 'src/cli/wherry.ts' };
    const { files } = await bundle({ root, nodeModules, entries, version: 'measured' });
    const units = await bundleUnits({ root, nodeModules, version: 'measured' });
    await mkdir(join(directory, 'program'));
    for (const [name, bytes] of [...files, [unitBundle, units.bytes] as const])
      await writeFile(join(directory, 'program', name), bytes);
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
    await writeFile(
      join(directory, 'cost.cjs'),
      `process.on('exit', () => require('node:fs').writeSync(3, JSON.stringify(process.resourceUsage())));`,
    );
    return new Programs(directory);
  }

  /** Runs `wherry` to its end. */
  async wherry(...args: readonly string[]): Promise<Ran> {
    return await ran(process.execPath, [
      '--require',
      join(this.#directory, 'cost.cjs'),
      ...this.#command(args),
    ]);
  }

  /** Starts `wherry sim`. */
  devices(args: readonly string[]): Devices {
    const child = spawn(process.execPath, this.#command(['--json', 'sim', ...args]), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return new Devices(child);
  }

  #command(args: readonly string[]): string[] {
    return [join(this.#directory, 'program/wherry.js'), '--fleet', join(this.#directory, 'fleet'), ...args];
  }
}

/** A program that may write its cost to descriptor 3 at its end. */
export async function ran(program: string, args: readonly string[]): Promise<Ran> {
  const startedMs = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const texts = ['', '', ''];
  for (const [index, stream] of [child.stdio[1], child.stdio[2], child.stdio[3]].entries())
    stream?.on('data', (chunk: Buffer) => (texts[index] = (texts[index] ?? '') + chunk.toString()));
  const [status] = (await once(child, 'close')) as [number];
  const [out = '', err = '', cost = ''] = texts;
  const { userCPUTime, systemCPUTime, maxRSS } = (
    cost === '' ? { userCPUTime: 0, systemCPUTime: 0, maxRSS: 0 } : JSON.parse(cost)
  ) as NodeJS.ResourceUsage;
  return {
    status,
    out,
    err,
    processorSeconds: (userCPUTime + systemCPUTime) / 1e6,
    wallSeconds: (performance.now() - startedMs) / 1000,
    mostMemoryMb: maxRSS / 1024,
  };
}

/** A running `wherry sim`. */
export class Devices {
  readonly lines: SimLine[] = [];
  readonly #child: ChildProcess;
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines.map((line) => JSON.parse(line) as SimLine));
    });
    child.once('exit', () => (this.#ended = true));
    process.once('exit', () => child.kill('SIGKILL'));
  }

  /** Waits until its numbers, which it prints every five seconds, satisfy a condition. */
  async until(isWanted: (line: SimLine) => boolean, timeoutMs: number): Promise<SimLine> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const last = this.lines.at(-1);
      if (last !== undefined && isWanted(last)) return last;
      if (this.#ended) throw new Error('wherry sim ended');
      if (performance.now() > deadlineMs)
        throw new Error(`the simulated devices got no further than ${JSON.stringify(last)}`);
      await sleep(200);
    }
  }

  /** The numbers after everything that is under way has been counted. */
  async settled(): Promise<SimLine> {
    const seen = this.lines.length;
    await this.until(() => this.lines.length > seen + 1, 60_000);
    return await this.until(() => true, 0);
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
