import { spawn, type ChildProcess } from 'node:child_process';

/** A helper program that a board needs while it runs, with the last of what it wrote to its standard error. */
export class Helper {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #ended: Promise<void>;
  #errors = '';

  private constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
    });
  }

  /**
   * Starts a program that never outlives this process: the kernel kills it when its parent dies, however that
   * happens (PR_SET_PDEATHSIG, prctl(2)). It is outside the terminal's process group, so that Ctrl-C reaches this
   * program, or the shell on the board, and not the machine under it.
   */
  static start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Helper {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    return new Helper(program, child);
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** A sentence about an end that nobody asked for. */
  get complaint(): string {
    return `${this.#name} ended: ${this.#errors.trim() || 'it did not say why'}`;
  }

  /** Settles when the program has ended, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  kill(signal: 'SIGKILL' | 'SIGTERM'): void {
    if (this.running) this.#child.kill(signal);
  }
}
