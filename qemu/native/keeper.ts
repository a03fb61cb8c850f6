import { spawn, type ChildProcess } from 'node:child_process';
import type { BoardGroup } from './control-group.ts';

/**
 * Waits for the end of its input, then kills the remaining processes of the board and removes its
 * group and its files.
 */
const script = `
cat >/dev/null
echo 1 2>/dev/null >"$1/cgroup.kill"
while grep -qs 'populated 1' "$1/cgroup.events"; do sleep 0.02; done
find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
rm -rf "$2"
`;

/**
 * A process that outlives this one and cleans up after a board, also when this one is killed.
 * Mounts and network need no cleaning: their namespaces end with the board's processes.
 */
export class Keeper {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(group: BoardGroup, runDir: string) {
    this.#child = spawn('sh', ['-c', script, 'keeper', group.path, runDir], {
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
      detached: true,
    });
    this.#ended = new Promise((done) => {
      this.#child.once('exit', () => done()).once('error', () => done());
    });
    this.#child.stdin?.on('error', () => undefined); // it was killed: the next board cleans up
  }

  /** Starts the clean-up and waits for it. */
  async release(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}
