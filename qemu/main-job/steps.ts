/** Prints progress on standard error, and records how long each step took. */
export class Steps {
  readonly seconds: Record<string, number> = {};
  private readonly stream: NodeJS.WriteStream;
  private readonly live: boolean;
  private transient = '';

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.stream = stream;
    this.live = stream.isTTY && process.env['NO_COLOR'] === undefined;
  }

  /**
   * Runs one step. `work` may print its progress; on a terminal each line replaces the one before.
   */
  async step<T>(
    name: string,
    title: string,
    work: (tell: (words: string) => void) => Promise<T>,
  ): Promise<T> {
    const startMs = performance.now();
    this.line(`• ${title}`);
    const result = await work((words) => this.detail(words));
    const seconds = Math.round((performance.now() - startMs) / 100) / 10;
    this.seconds[name] = seconds;
    this.clearDetail();
    this.line(`  ${this.live ? '\u001b[32m✓\u001b[0m' : 'done:'} ${title} (${seconds} s)`);
    return result;
  }

  line(text: string): void {
    this.clearDetail();
    this.stream.write(`${text}\n`);
  }

  private detail(words: string): void {
    if (words === this.transient) return;
    this.clearDetail();
    this.transient = words;
    this.stream.write(
      this.live ? `    ${words.slice(0, (this.stream.columns || 100) - 6)}` : `    ${words}\n`,
    );
  }

  private clearDetail(): void {
    if (this.transient !== '' && this.live) this.stream.write('\r\u001b[K');
    this.transient = '';
  }
}
