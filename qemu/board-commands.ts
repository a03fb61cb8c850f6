import { ChannelError, poll } from './guest-channel.ts';
import { type RunOptions, type RunResult, usualTimeoutMs } from './board-types.ts';

/** What every board can do because it runs commands. */
export abstract class BoardCommands {
  abstract readonly name: string;

  abstract run(script: string, options?: RunOptions): Promise<RunResult>;

  abstract consoleLog(): string;

  async check(script: string, options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, options);
    if (status !== 0)
      throw new Error(`On ${this.name}, status ${status} from: ${script}\n${stdout}${stderr}`);
    return stdout;
  }

  async waitFor(
    script: string,
    holds: (result: RunResult) => boolean = ({ status }) => status === 0,
    timeoutMs = usualTimeoutMs,
  ): Promise<RunResult> {
    let last: RunResult | undefined;
    try {
      await poll(`"${script}" on ${this.name}`, timeoutMs, async () => {
        last = await this.run(script, { timeoutMs });
        return holds(last);
      });
    } catch (error) {
      if (!(error instanceof ChannelError) || last === undefined) throw error;
      throw new ChannelError(`${error.message} Last: status ${last.status}, ${last.stdout}${last.stderr}`);
    }
    // poll() returns only after the predicate has seen a result.
    return last as RunResult;
  }

  async waitForUnit(unit: string, state = 'active', timeoutMs = usualTimeoutMs): Promise<void> {
    const command = `systemctl is-active '${unit}'`;
    try {
      await this.waitFor(command, ({ stdout }) => stdout.trim() === state, timeoutMs);
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      const { stdout } = await this.run(
        `systemctl status --no-pager -l '${unit}'; systemctl list-jobs; journalctl --no-pager -n 60`,
      );
      throw new ChannelError(`${error.message}\n${stdout}`);
    }
  }

  async waitForLine(pattern: RegExp, timeoutMs = 60_000): Promise<string> {
    let line: string | undefined;
    await poll(`${String(pattern)} on the console of ${this.name}`, timeoutMs, () => {
      line = this.consoleLog()
        .split(/\r?\n/)
        .find((text) => pattern.test(text));
      return Promise.resolve(line !== undefined);
    });
    return line ?? '';
  }

  journal(args = ''): Promise<string> {
    return this.check(`journalctl --sync; journalctl --no-pager ${args}`);
  }
}
