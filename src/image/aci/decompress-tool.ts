import { spawn } from 'node:child_process';

import { Refusal } from '../../core/refusal/index.ts';
import { drained, malformed } from '../tar/index.ts';

/**
 * Compressions that Node 20 cannot decompress; programs of the distribution do, each in a process
 * that ends with the archive.
 */
export type ToolCompression = 'bzip2' | 'xz' | 'zstd';

interface Tool {
  readonly command: string;
  readonly args: (memoryMiB: number) => readonly string[];
  /** The Debian package that contains it. */
  readonly debianPackage: string;
  /** Its message when the archive requires more memory than the limit. */
  readonly overLimit: RegExp;
}

/**
 * An xz header may require a dictionary of 4 GiB, a zstd one a window of 2 GiB, so both get a
 * memory limit. Each checks that nothing follows its streams, except bzip2, which only prints a
 * warning: any output on stderr counts as a failure.
 */
const tools: Readonly<Record<ToolCompression, Tool>> = {
  bzip2: { command: 'bzip2', args: () => ['-dc'], debianPackage: 'bzip2', overLimit: /(?!)/ },
  xz: {
    command: 'xz',
    args: (memoryMiB) => ['-dc', '--format=xz', '-T1', `--memlimit-decompress=${memoryMiB}MiB`],
    debianPackage: 'xz-utils',
    overLimit: /Memory usage limit/,
  },
  zstd: {
    command: 'zstd',
    args: (memoryMiB) => ['-dcq', '--format=zstd', '--single-thread', `--memory=${memoryMiB}MB`],
    debianPackage: 'zstd',
    overLimit: /too much memory|Window size|Use --memory/i,
  },
};

/** How much of a program's stderr is kept. */
const maxSaidBytes = 512;

/**
 * Decompresses a stream: at most the bytes of a pipe are buffered. The program is killed when the
 * iteration ends, and its memory is bounded.
 *
 * Throws refusals: `archive-compression-unsupported` when the program is not installed,
 * `archive-too-large` when the archive requires more memory than the limit, `archive-malformed` for
 * a damaged or cut stream and for data after it. Errors of `input` pass unchanged.
 */
export async function* decompressByTool(
  compression: ToolCompression,
  input: AsyncIterable<Buffer>,
  memoryMiB: number,
): AsyncGenerator<Buffer, void> {
  const { command, args, debianPackage, overLimit } = tools[compression];
  const child = spawn(command, args(memoryMiB), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said = (said + text).slice(0, maxSaidBytes);
  });
  const ended = new Promise<number | null | 'missing'>((resolve) => {
    child.once('error', () => resolve('missing'));
    child.once('close', resolve);
  });
  // The exit of the program shows what was wrong; a broken pipe only follows from it.
  child.stdin.on('error', () => undefined);
  let sourceError: { error: unknown } | undefined;
  const feeding = (async () => {
    try {
      for await (const chunk of input) {
        if (child.stdin.destroyed) return;
        if (!child.stdin.write(chunk)) await drained(child.stdin);
      }
      child.stdin.end();
    } catch (error) {
      sourceError = { error };
      child.kill('SIGKILL');
    }
  })();
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const status = await ended;
    await feeding;
    if (sourceError) throw sourceError.error;
    if (status === 'missing') {
      throw new Refusal(
        'archive-compression-unsupported',
        `the archive is compressed with ${compression}, and there is no program "${command}" to undo it; install the package ${debianPackage}, or compress with gzip`,
      );
    }
    if (status === 0 && said === '') return;
    if (overLimit.test(said)) {
      throw new Refusal(
        'archive-too-large',
        `decompressing the ${compression} stream takes more than ${memoryMiB} MiB of memory; compress it with a smaller dictionary (xz -7, zstd -19)`,
      );
    }
    throw malformed(`the ${compression} stream is damaged, cut off, or followed by other data`);
  } finally {
    child.kill('SIGKILL');
    await ended;
    child.stdin.destroy(); // wakes the feeder, which releases the source
    await feeding;
  }
}
