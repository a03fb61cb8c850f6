import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startScript } from '../../../src/device/pod/start-script.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-start-'));
});
afterEach(() => rm(directory, { recursive: true }));

const at = (name: string) => join(directory, name);

const program = async (name: string, text: string) => {
  await writeFile(at(name), `#!/bin/sh\n${text}\n`);
  await chmod(at(name), 0o755);
};

/** Runs the part of the script after the mounts, with programs that take the place of real ones. */
const start = async (notify: string): Promise<void> => {
  await mkdir(at('run'));
  await writeFile(at('start-app'), startScript);
  await program(
    'crun',
    `case " $* " in
  *" create "*) sleep 1000 >/dev/null 2>&1 & printf %s $! >${at('run/pid')} ;;
  *" start "*) read -r pid <${at('run/pid')} || true; kill $pid; touch ${at('started')} ;;
esac`,
  );
  await program('systemd-notify', notify);
  const words = ['create', '15', at('run'), '65536', 'image', 'demo', at('crun'), at('bundle'), 'demo-web'];
  await new Promise((resolve) => {
    const env = {
      PATH: `${directory}:${process.env['PATH'] ?? ''}`,
      LAYER: 'mounted',
      NOTIFY_SOCKET: '/none',
    };
    execFile('/bin/sh', [at('start-app'), ...words], { env }, resolve);
  });
};

it('starts the app after the message to systemd', async () => {
  await start(`test ! -e ${at('started')} && echo "$NOTIFY_SOCKET $*" >${at('message')}`);
  await expect.poll(() => existsSync(at('started'))).toBe(true);
  // Not before systemd has read it: an app that ends earlier would lose its status.
  expect(await readFile(at('message'), 'utf8')).toMatch(/^\/none MAINPID=\d+ READY=1\n$/);
});

it('starts the app although the script is killed right after the message', async () => {
  // Both sides of the pipe exist by the time that a real message arrives.
  await start('until [ "$(wc -w </proc/$PPID/task/$PPID/children)" = 2 ]; do :; done; kill -KILL $PPID');
  await expect.poll(() => existsSync(at('started'))).toBe(true);
});
