import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPackages, type DebianArch } from '../cross/index.ts';
import { boardNames, loadBoardConfig } from './board-config.ts';
import { keepLive, packageFiles } from './live.ts';
import { startBoard } from './start-board.ts';

const help = `Opens a root shell on a board, with wherry installed.

  npm run board -- NAME [--forward PORT]... [--live] [--bare] [--cold]

  NAME             one of: ${boardNames().join(', ')}
  --forward PORT   make a port of the board reachable on this machine's 127.0.0.1 (may be repeated)
  --live           when a file below src/ changes, copy the changed files of the package to the board and restart wherryd
  --bare           without wherry
  --cold           boot from the beginning instead of resuming from the snapshot

The host is 10.0.2.2 from the board. "exit", "poweroff" or, on an emulated board, Ctrl-] ends it; nothing is kept.
`;

const root = join(import.meta.dirname, '..');

/** The packages for a board's architecture, built from this tree unless the cache has them. */
async function wherryPackages(arch: DebianArch): Promise<readonly string[]> {
  const { packages } = await buildPackages({ root, archs: [arch] });
  return packages.map(({ file }) => file);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      live: { type: 'boolean', default: false },
      forward: { type: 'string', multiple: true, default: [] },
      bare: { type: 'boolean', default: false },
      cold: { type: 'boolean', default: false },
    },
  });
  const [name, ...rest] = positionals;
  if (values.help === true || name === undefined || rest.length > 0) {
    process.stdout.write(help);
    return values.help === true ? 0 : 64;
  }
  const ports = values.forward.map(Number);
  if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535)) {
    throw new Error('--forward takes a port number from 1 to 65535.');
  }
  if (values.live && values.bare) throw new Error('--live needs wherry on the board; leave out --bare.');
  const say = (sentence: string): boolean => process.stderr.write(`${sentence}\n`);
  const { arch } = loadBoardConfig(name).config;
  // Read before the package is built, so that later changes are copied.
  const installed = values.live ? await packageFiles(root, arch) : undefined;
  const debs = values.bare ? [] : await wherryPackages(arch);
  const forwards = ports.map((guest) => ({ guest }));
  const board = await startBoard({ board: name, debs, forwards, coldBoot: values.cold, progress: say });
  const live = installed && keepLive(board, { root, installed, say });
  try {
    for (const [guest, host] of board.forwards) say(`port ${guest} of the board: http://127.0.0.1:${host}`);
    say(`${name} runs${debs.length > 0 ? ' with wherry' : ''}; "exit" leaves.`);
    await board.terminal();
  } finally {
    await live?.stop();
    await board.stop();
  }
  return 0;
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
