import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildPackages } from '../../cross/index.ts';
import { loadBoardConfig, startBoard, type Board } from '../../qemu/index.ts';
import { keepLive, packageFiles } from '../../qemu/live.ts';
import { oneBoard } from './board-choice.ts';

const project = join(import.meta.dirname, '../..');
const shipped = ['src', 'cross', 'docs/man', 'package.json', 'package-lock.json', 'LICENSE', 'CHANGELOG.md'];
const configuration = `
fleet = "test"
device = "board"
[broker]
url = "mqtt://127.0.0.1:9"
`;

describe.each(oneBoard)('a tree that a board follows live, on %s', (name) => {
  const root = mkdtempSync(join(tmpdir(), 'wherry-live-'));
  const said: string[] = [];
  let board: Board;
  let live: { stop(): Promise<void> };

  beforeAll(async () => {
    for (const path of shipped) cpSync(join(project, path), join(root, path), { recursive: true });
    symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'));
    const { arch } = loadBoardConfig(name).config;
    const installed = await packageFiles(root, arch);
    const { packages } = await buildPackages({ root, archs: [arch] });
    board = await startBoard({ board: name, debs: packages.map(({ file }) => file) });
    live = keepLive(board, { root, installed, say: (sentence) => said.push(sentence) });
  });
  afterAll(async () => {
    await live.stop();
    await board.stop();
    rmSync(root, { recursive: true });
  });

  /** Changes a file of the tree, and waits until a line about it matches. */
  const edit = async (path: string, from: string, to: string, line: RegExp) => {
    const text = readFileSync(join(root, path), 'utf8');
    expect(text).toContain(from);
    const before = said.length;
    writeFileSync(join(root, path), text.replace(from, to));
    const lines = () => said.slice(before).join('\n');
    await vi.waitFor(() => expect(lines()).toMatch(line), { timeout: 180_000, interval: 100 });
  };
  const program = 'src/device/agent/wherryd.ts';

  it('copies changed files, and leaves an unconfigured wherryd alone', async () => {
    const edited = 'process.stderr.write("edited once\\n");\nconst ';
    await edit(
      program,
      'const ',
      edited,
      /changed files in .*; wherryd is inactive: it has no \/etc\/wherry/,
    );
    expect(await board.check('grep -l "edited once" /usr/lib/wherry/*.js')).toContain('wherryd.js');
  });

  it('restarts wherryd with the changed program', async () => {
    await board.copyIn(Buffer.from(configuration), '/etc/wherry/wherry.toml');
    await edit(program, 'edited once', 'edited twice', /changed files in .*; wherryd is active/);
    expect(await board.journal('-u wherryd -o cat')).toContain('edited twice');
  });

  it('reloads systemd after changes of unit files', async () => {
    const unit = 'src/device/agent/wherryd.service';
    await edit(unit, 'wherry, the container supervisor', 'edited supervisor', /copied 1 changed files/);
    expect(await board.check('systemctl show -P Description wherryd')).toBe('edited supervisor\n');
  });

  it('reports a compile error, and continues with the next change', async () => {
    await edit(program, 'edited twice', 'edited"twice', /does not compile/);
    expect(await board.check('grep -l "edited twice" /usr/lib/wherry/*.js')).toContain('wherryd.js');
    await edit(program, 'edited"twice', 'edited again', /wherryd is active/);
  });

  it('reports that wherryd does not start', async () => {
    const write = 'process.stderr.write("edited again\\n");';
    await edit(program, write, 'process.exit(78);', /wherryd is failed: /);
  });
});
