import { spawn } from 'node:child_process';

import { BuildFailure } from './build-failure.ts';

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program and returns its standard output. The environment is the caller's, with the C
 * locale, so that messages and sort orders do not depend on the user.
 *
 * @throws BuildFailure when the program is missing (`needs` names the Debian package that has it)
 *   or fails; the message contains the last lines that it printed.
 */
export async function runTool(
  needs: string,
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const status = await new Promise<number | string>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const message =
        cause.code === 'ENOENT'
          ? `The program ${command} is missing; install the Debian package ${needs}.`
          : `The program ${command} could not be started: ${cause.message}.`;
      reject(new BuildFailure(message, { cause }));
    });
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown');
    });
  });
  if (status !== 0) {
    const tail = (stderr.trim() || stdout.trim()).split('\n').slice(-6).join('\n  ');
    throw new BuildFailure(`${command} ended with status ${status}:\n  ${tail}`);
  }
  return stdout;
}
