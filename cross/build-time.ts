import { BuildFailure } from './build-failure.ts';
import { runTool } from './tool.ts';

/**
 * What goes into the packages: their time is the time of the last commit that changed any of it.
 */
const shipped = ['src', 'cross', 'docs/man', 'package.json', 'package-lock.json', 'LICENSE', 'CHANGELOG.md'];

/** Used where there is neither SOURCE_DATE_EPOCH nor a git history: 1 January 2026. */
const fallbackSeconds = 1_767_225_600;

/**
 * The time that stands on every file of a package, in seconds since 1970. SOURCE_DATE_EPOCH rules
 * (reproducible-builds.org); without it the source's own history does, so that a commit that ships
 * nothing new changes no package. A device whose clock was never set takes it as the earliest time
 * it believes.
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
  // safe.directory: building as root in a user's clone asks nothing of git that could hurt.
  const log = ['-c', `safe.directory=${root}`, '-C', root, 'log', '-1', '--format=%ct', '--', ...shipped];
  const printed = await runTool('git', 'git', log).catch((error: unknown) => {
    if (error instanceof BuildFailure) return '';
    throw error;
  });
  return /^\d+$/.test(printed.trim()) ? Number(printed.trim()) : fallbackSeconds;
}
