import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cached, contentKey } from '../../cross/cache.ts';
import { runTool } from '../../cross/tool.ts';

/** Debian's Node for arm64, run by user-mode QEMU with a plugin that counts instructions. */
export interface ArmNode {
  /** As `process.version`. */
  readonly version: string;
  /**
   * Runs Node and counts the instructions of all its threads in user space. Child processes are not
   * counted, because QEMU starts them on the host.
   *
   * @throws Error with its output, when it ends with another status than 0
   */
  count(args: readonly string[], options?: RunOptions): Promise<number>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Runs in this directory. */
  readonly cwd?: string;
  /** The program is stopped by SIGTERM when it has printed this. */
  readonly until?: string;
  /**
   * Replaces /etc for the program; /run and /var/lib are empty then, and writes to them are
   * discarded.
   */
  readonly hidden?: string;
}

const suite = 'trixie';
const timeoutMs = 240_000;

/** Unpacks Debian's Node and compiles the plugin, or takes both from the cache. */
export async function armNode(say: (sentence: string) => void): Promise<ArmNode> {
  const root = await tree(say);
  const plugin = await compiledPlugin();
  const program = join(root, 'usr/bin/node');
  const count = async (args: readonly string[], options: RunOptions = {}): Promise<number> => {
    const directory = mkdtempSync(join(tmpdir(), 'wherry-count-'));
    try {
      const counts = join(directory, 'counts');
      const qemu = ['-cpu', 'cortex-a53', '-L', root, '-plugin', `${plugin},out=${counts}`, program];
      const command = ['qemu-aarch64', ...qemu, ...args];
      await runToEnd(options.hidden === undefined ? command : inNamespace(options.hidden, command), options);
      // A forked child that could not execute its program has written a line before.
      return Number(readFileSync(counts, 'utf8').trim().split('\n').at(-1));
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  return { version: nodeVersion(root), count };
}

/** The packages are unpacked, not installed: none of their code runs on the host. */
async function tree(say: (sentence: string) => void): Promise<string> {
  const packages = ['nodejs', 'libc6', 'libstdc++6'];
  const directory = await cached(
    `arm-node-${suite}`,
    contentKey(['arm node 1', suite, ...packages]),
    async (into) => {
      say(`unpacking Node of Debian ${suite} for arm64`);
      const root = join(into, 'root');
      const include = `--include=${packages.join(',')}`;
      const args = [
        '--quiet',
        '--variant=extract',
        '--arch=arm64',
        '--skip=check/qemu',
        include,
        suite,
        root,
      ];
      await runTool('mmdebstrap', 'mmdebstrap', args);
      // Debian's packages are in /usr; programs request the loader in /lib.
      if (!existsSync(join(root, 'lib'))) symlinkSync('usr/lib', join(root, 'lib'));
    },
  );
  return join(directory, 'root');
}

function nodeVersion(root: string): string {
  const args = ['-L', root, join(root, 'usr/bin/node'), '--version'];
  return execFileSync('qemu-aarch64', args, { encoding: 'utf8', timeout: timeoutMs }).trim();
}

async function compiledPlugin(): Promise<string> {
  const source = join(import.meta.dirname, 'counting-plugin.c');
  const said = await runTool('qemu-user', 'qemu-aarch64', ['--version']);
  const major = Number(/version (\d+)\./.exec(said)?.[1]);
  // QEMU 9.0 requires version 2 of the interface. The calls used here are the same in all versions.
  const pluginVersion = major >= 9 ? 2 : 1;
  const directory = await cached(
    'counting-plugin',
    contentKey([await readFile(source), String(pluginVersion), process.arch]),
    async (into) => {
      const flags = ['-O2', '-shared', '-fPIC', `-DPLUGIN_VERSION=${pluginVersion}`];
      await runTool('gcc', 'gcc', [...flags, '-o', join(into, 'count.so'), source]);
    },
  );
  return join(directory, 'count.so');
}

/** Requires root only where users may not create namespaces. */
function inNamespace(etc: string, command: readonly string[]): readonly string[] {
  const script =
    'mount --bind "$0" /etc && mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec "$@"';
  return ['unshare', '--map-root-user', '--mount', 'sh', '-c', script, etc, ...command];
}

async function runToEnd(command: readonly string[], options: RunOptions): Promise<void> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      // A second signal would end a program that handles the first.
      if (options.until !== undefined && !child.killed && said.includes(options.until)) child.kill();
    });
  }
  const end = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'unknown'));
  });
  if (end !== 0) {
    throw new Error(
      `${args.slice(args.indexOf('-plugin') + 2).join(' ')} ended with ${end}:\n${said.slice(-2000)}`,
    );
  }
}
