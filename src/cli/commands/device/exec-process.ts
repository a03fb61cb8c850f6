import type { RunningApp } from '../../../device/local-api/index.ts';

/**
 * Waits for one line on descriptor 3, then executes its arguments. Without a cgroup manager `crun
 * exec` stays in the cgroup of its caller, and so would the program. So this process is moved to
 * the app's cgroup before it executes crun. If the mover dies, the line never arrives and nothing
 * runs.
 */
const waitForTheMove = 'read -r moved <&3 && exec "$@" 3<&-';

/** Files of one execution, below {@link RunningApp.runtime}. */
export interface ExecFiles {
  readonly process: string;
  /** Where crun writes its own errors, which are not the program's. */
  readonly log: string;
}

/** The command line that runs the process of `files`, once it has been moved. */
export function execCommand(app: RunningApp, files: ExecFiles, crun: string): readonly string[] {
  return [
    ...['/bin/sh', '-c', waitForTheMove, 'wherry-exec'],
    ...[crun, `--root=${app.runtime}`, '--cgroup-manager=disabled'],
    ...[`--log=file:${files.log}`, '--log-format=json'],
    ...['exec', `--process=${files.process}`, app.containerId],
  ];
}
