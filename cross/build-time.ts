import { BuildFailure } from './build-failure.ts';
import { runTool } from './tool.ts';

/**
 * The sources of the packages. The build time is that of the last commit that changed any of them.
 */
const shipped = ['src', 'cross', 'docs/man', 'package.json', 'package-lock.json', 'LICENSE', 'CHANGELOG.md'];

/** Used where there is neither SOURCE_DATE_EPOCH nor a git history: 1 January 2026. */
const fallbackSeconds = 1_767_225_600;

/**
 * The modification time of every file of a package, in seconds since 1970: SOURCE_DATE_EPOCH
 * (reproducible-builds.org), or else the time of the last commit that changed a shipped source, so
 * that other commits change no package. A device whose clock was never set uses it as a lower bound
 * of the time.
 *
 * @throws BuildFailure when SOURCE_DATE_EPOCH is not a whole number of seconds
 */
export async function buildTime(root: string, env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const given = env['SOURCE_DATE_EPOCH'];
  if (given !== undefined) {
    if (!/^\d{1,11}$/.test(given)) {
      throw new BuildFailure(`SOURCE_DATE_EPOCH is "${given}"; it must be seconds since 1970.`);
    }
    return Number(given);
  }
  // safe.directory: a build as root in a user's clone runs only harmless commands of git.
  const log = ['-c', `safe.directory=${root}`, '-C', root, 'log', '-1', '--format=%ct', '--', ...shipped];
  const printed = await runTool('git', 'git', log).catch((error: unknown) => {
    if (error instanceof BuildFailure) return '';
    throw error;
  });
  return /^\d+$/.test(printed.trim()) ? Number(printed.trim()) : fallbackSeconds;
}
