import type { ChildProcess } from 'node:child_process';

/** Resolves when a server reports on standard error that it is ready; rejects if it ends before. */
export async function readyServer(child: ChildProcess, name: string, words: string): Promise<void> {
  let output = '';
  await new Promise<void>((done, fail) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes(words)) done();
    });
    child.once('error', fail);
    child.once('close', () => fail(new Error(`${name} did not start: ${output}`)));
  });
}
