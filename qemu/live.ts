import { watch } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { pack } from 'tar-stream';
import { packageContents, type DebianArch, type PackageEntry } from '../cross/index.ts';
import type { Board } from './board-types.ts';

type PackageFile = Extract<PackageEntry, { type: 'file' }>;

/** Path → file of the package. */
export type PackageFiles = ReadonlyMap<string, PackageFile>;

export interface LiveOptions {
  /** The project's tree. */
  readonly root: string;
  /** The files on the board. */
  readonly installed: PackageFiles;
  /** Receives one line for each copy and each failure. */
  readonly say: (sentence: string) => void;
}

/** The files of the package that the tree makes now. @throws BuildFailure */
export async function packageFiles(root: string, arch: DebianArch): Promise<PackageFiles> {
  const { contents } = await packageContents({ root, archs: [arch] });
  const entries = contents.flatMap((one) => one.package.entries);
  return new Map(entries.filter((entry) => entry.type === 'file').map((file) => [file.path, file]));
}

/**
 * Keeps wherry on a board up to date: when a file below `src/` changes, copies the changed files of
 * the package and restarts wherryd. A tree that does not compile changes nothing on the board.
 */
export function keepLive(board: Board, options: LiveOptions): { stop(): Promise<void> } {
  const { root, say } = options;
  let { installed } = options;
  let changed = false;
  let working: Promise<void> | undefined;

  const update = async (): Promise<void> => {
    const startMs = performance.now();
    const files = await packageFiles(root, board.arch);
    const differing = [...files.values()].filter(({ path, content }) => {
      const old = installed.get(path);
      return old === undefined || Buffer.compare(Buffer.from(old.content), Buffer.from(content)) !== 0;
    });
    if (differing.length === 0) {
      say('live: the package is the same');
      return;
    }
    const wherryd = await install(board, differing);
    installed = files;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    say(`live: copied ${differing.length} changed files in ${seconds} s; wherryd is ${wherryd}`);
  };
  const work = async (): Promise<void> => {
    while (changed) {
      await setTimeout(settleMs);
      changed = false;
      await update().catch((error: unknown) =>
        say(`live: ${error instanceof Error ? error.message : String(error)}`),
      );
    }
    working = undefined;
  };

  const watcher = watch(join(root, 'src'), { recursive: true }, () => {
    changed = true;
    working ??= work();
  });
  return {
    stop: async () => {
      watcher.close();
      changed = false;
      await working;
    },
  };
}

/** An editor saves a file in several steps. */
const settleMs = 100;

/** @returns systemd's state of wherryd, or why it failed */
async function install(board: Board, files: readonly PackageFile[]): Promise<string> {
  const script = 'tar -x -C / && systemctl daemon-reload';
  await board.check(script, { stdin: await tarOf(files) });
  const { status, stderr } = await board.run('systemctl restart wherryd');
  if (status !== 0) return `failed: ${stderr.trim().replaceAll('\n', ' ')}`;
  const state = (await board.run('systemctl is-active wherryd')).stdout.trim();
  return state === 'inactive' ? 'inactive: it has no /etc/wherry/wherry.toml' : state;
}

async function tarOf(files: readonly PackageFile[]): Promise<Uint8Array> {
  const tar = pack();
  for (const { path, mode, content } of files) {
    tar.entry({ name: path, mode, uid: 0, gid: 0, mtime: new Date() }, Buffer.from(content));
  }
  tar.finalize();
  return await buffer(tar);
}
