import { resolve } from 'node:path';
import { buildPackages } from '../cross/index.ts';
import { loadBoardConfig, startBoard } from '../qemu/index.ts';
import { payloadRoot } from '../qemu/payload.ts';
import { boards } from './support/boards.ts';

const root = resolve(import.meta.dirname, '..');
const say = (line: string): void => void process.stderr.write(`boards: ${line}\n`);

/**
 * Builds the files that the board tests start from: packages, board images, snapshots and payloads.
 * The cache keeps them, so a second call takes seconds. Without this step the first test of each
 * board would build them within its time limit.
 */
async function prepareBoard(name: string): Promise<void> {
  const { config } = loadBoardConfig(name);
  const { packages } = await buildPackages({ root, archs: [config.arch], progress: say });
  const board = await startBoard({ board: name, debs: packages.map(({ file }) => file), progress: say });
  await board.stop();
  for (const payload of ['busybox', 'nginx'] as const) await payloadRoot(payload, config);
  say(`${name} is ready`);
}

for (const board of boards) await prepareBoard(board);
