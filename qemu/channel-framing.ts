/**
 * The messages between host and board on an agent's port. The other end is the script in
 * guest-files.ts.
 *
 * Request: `VERB OPTION TEXT_BYTES DATA_BYTES\n`, then text and data as they are.
 * - `run`: option is the limit in seconds, text a bash script, data its standard input.
 * - `put`: option is the mode in octal, text the path, data the content.
 * - `get`: option is 0, text the path.
 *
 * Answer: `STATUS OUT_BYTES ERR_BYTES\n`, then output and errors as they are.
 *
 * Lengths instead of escapes allow any bytes, and cost a slow board little.
 */
export type Request = {
  readonly verb: 'run' | 'put' | 'get';
  readonly option: string;
  readonly text: string;
  readonly data?: Uint8Array;
};

export type Answer = { readonly status: number; readonly stdout: Buffer; readonly stderr: Buffer };

/** Linux allows 128 KiB for one argument (MAX_ARG_STRLEN); a script is passed as one. */
export const textMaxBytes = 120 * 1024;

/** @throws RangeError for text that is too long, or that has a NUL, which bash cannot hold */
export function encodeRequest(request: Request): Buffer {
  const text = Buffer.from(request.text);
  if (text.length > textMaxBytes) {
    throw new RangeError(
      `A command may have ${textMaxBytes} bytes, not ${text.length}; copy a script in instead.`,
    );
  }
  if (text.includes(0)) throw new RangeError('A command or path may not contain a NUL.');
  if (!/^[0-9]+$/.test(request.option)) throw new RangeError(`"${request.option}" is not a number.`);
  const data = request.data ?? new Uint8Array();
  const head = `${request.verb} ${request.option} ${text.length} ${data.byteLength}\n`;
  return Buffer.concat([Buffer.from(head), text, data]);
}

/** Reads answers from chunks of any size. */
export class AnswerReader {
  #chunks: Buffer[] = [];
  #size = 0;
  #head: { status: number; out: number; err: number } | undefined;

  /**
   * @returns the answers that are complete now
   * @throws Error when the stream does not have the form of an agent's answers
   */
  push(chunk: Buffer): Answer[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const answers: Answer[] = [];
    for (;;) {
      this.#head ??= this.#takeHead();
      if (this.#head === undefined) return answers;
      const { status, out, err } = this.#head;
      if (this.#size < out + err) return answers;
      const body = this.#take(out + err);
      this.#head = undefined;
      answers.push({ status, stdout: body.subarray(0, out), stderr: body.subarray(out) });
    }
  }

  #takeHead(): { status: number; out: number; err: number } | undefined {
    if (this.#size === 0) return undefined;
    const all = this.#join();
    const end = all.indexOf(0x0a);
    if (end < 0 && all.length <= 64) return undefined;
    const match = /^(\d{1,3}) (\d{1,15}) (\d{1,15})$/.exec(
      all.subarray(0, Math.max(end, 0)).toString('latin1'),
    );
    if (match === null) throw new Error('The agent on the board sent something that is not an answer.');
    this.#take(end + 1);
    return { status: Number(match[1]), out: Number(match[2]), err: Number(match[3]) };
  }

  #take(count: number): Buffer {
    const all = this.#join();
    this.#chunks = [all.subarray(count)];
    this.#size -= count;
    return all.subarray(0, count);
  }

  #join(): Buffer {
    const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
