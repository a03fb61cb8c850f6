import { spawn, type ChildProcess } from 'node:child_process';

/**
 * A helper program that a board needs while it runs, with the end of its standard error.
 */
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
   * Starts a program that never outlives this process: the kernel kills it when its parent dies for
   * any reason (PR_SET_PDEATHSIG, prctl(2)). It is outside the terminal's process group, so Ctrl-C
   * reaches this process, or the shell on the board, but not the helper.
   * @param talk connects {@link line} and {@link say} to the program
   */
  static start(
    program: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
    talk?: 'talk',
  ): Helper {
    const inAndOut = talk === undefined ? 'ignore' : 'pipe';
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
      env,
      stdio: [inAndOut, inAndOut, 'pipe'],
      detached: true,
    });
    return new Helper(program, child);
  }

  /** The process's ID, which stays the same when one program executes another. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * The next line of a program that was started with `talk`.
   * @throws Error with its message if it ends instead
   */
  async line(): Promise<string> {
    const { stdout } = this.#child;
    const said = new Promise<string>((done) =>
      stdout?.once('data', (bytes: Buffer) => done(bytes.toString())),
    );
    return await Promise.race([
      said,
      this.#ended.then(() => {
        throw new Error(this.complaint);
      }),
    ]);
  }

  /** Sends a line to a program that was started with `talk`. */
  say(line: string): void {
    this.#child.stdin?.end(`${line}\n`);
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** A sentence about an unexpected end. */
  get complaint(): string {
    return `${this.#name} ended: ${this.#errors.trim() || 'it did not say why'}`;
  }

  /** Settles when the program has ended, for any reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  kill(signal: 'SIGKILL' | 'SIGTERM'): void {
    if (this.running) this.#child.kill(signal);
  }
}
