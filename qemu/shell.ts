import { connect } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPackages, type DebianArch } from '../cross/index.ts';
import type { Board } from './board.ts';
import { boardNames, loadBoardConfig } from './board-config.ts';
import { startBoard } from './start-board.ts';

const help = `Gives a root shell on an emulated board, with wherry installed.

  npm run board -- NAME [--forward PORT]... [--bare] [--cold]

  NAME             one of: ${boardNames().join(', ')}
  --forward PORT   make a port of the board reachable on this machine's 127.0.0.1 (may be repeated)
  --bare           without wherry
  --cold           boot from the beginning instead of going on from the snapshot

The host is 10.0.2.2 from the board. "exit", "poweroff" or Ctrl-] ends it; nothing is kept.
`;

/** The package for a board's architecture, built from this tree if that was not done before. */
async function wherryPackages(arch: DebianArch): Promise<readonly string[]> {
  const { packages } = await buildPackages({ root: join(import.meta.dirname, '..'), archs: [arch] });
  return packages.map(({ file }) => file);
}

/** Ctrl-]: the way out that telnet(1) taught. */
const leaveKey = 0x1d;

/** What the shell writes when it ends: an operating system command that terminals do not know and do not show. */
const shellEnded = '\x1b]wherry\x07';

/** Joins the terminal to the board's serial console until the board stops, the user leaves, or input ends. */
async function attach(board: Board): Promise<void> {
  const console = connect(board.consoleSocket);
  await new Promise<void>((done, fail) => console.once('connect', done).once('error', fail));
  const { stdin, stdout } = process;
  const left = new Promise<void>((done) => {
    stdin.on('data', (keys: Buffer) => {
      if (stdin.isTTY && keys.includes(leaveKey)) done();
      else console.write(keys);
    });
    if (!stdin.isTTY) stdin.on('end', () => setTimeout(done, 1000));
    console.on('close', done);
    let last = Buffer.alloc(0); // a serial line brings a few bytes at a time, and so the marker in pieces
    console.on('data', (bytes: Buffer) => {
      last = Buffer.concat([last, bytes]);
      if (last.includes(shellEnded)) done();
      last = last.subarray(-shellEnded.length);
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, done);
  });
  console.pipe(stdout, { end: false });
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.resume();
  // The snapshot's prompt was printed long ago: ask for another, at the size of this terminal.
  const size = stdout.isTTY ? `stty rows ${stdout.rows} cols ${stdout.columns}; ` : '';
  console.write(` ${size}trap 'printf "\\033]wherry\\007"' EXIT; printf '\\033[H\\033[2J'\n`);
  await Promise.race([left, board.ended]);
  if (stdin.isTTY) stdin.setRawMode(false);
  stdin.pause();
  console.destroy();
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
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
  const say = (sentence: string): boolean => process.stderr.write(`${sentence}\n`);
  const debs = values.bare ? [] : await wherryPackages(loadBoardConfig(name).config.arch);
  const forwards = ports.map((guest) => ({ guest }));
  const board = await startBoard({ board: name, debs, forwards, coldBoot: values.cold, progress: say });
  try {
    for (const [guest, host] of board.forwards) say(`port ${guest} of the board: http://127.0.0.1:${host}`);
    say(`${name} runs${debs.length > 0 ? ' with wherry' : ''}; Ctrl-] leaves.`);
    await attach(board);
  } finally {
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
