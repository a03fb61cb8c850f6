import { busybox } from '../busybox-scene.ts';
import type { BuiltImage } from '../scene.ts';

/** Runs the probe, which labels its lines with the first word. */
export const run = (...words: string[]) => [busybox, 'sh', '/probe', ...words];

const annotations = (values: Readonly<Record<string, string>>) =>
  Object.entries(values).map(([name, value]) => ({ name, value }));

/** An app of user 0 without isolators, and a confined app of another user. */
export function pair(image: BuiltImage): Record<string, unknown> {
  const app = (name: string, more: object) => ({ name, image: { id: image.id, name: image.name }, ...more });
  const root = {
    ...{ exec: run('root', 'user'), user: '0', group: '0' },
    eventHandlers: [
      { name: 'pre-start', exec: run('pre-start') },
      { name: 'post-stop', exec: run('post-stop') },
    ],
    mountPoints: [{ name: 'full', path: '/srv/full' }],
  };
  const user = {
    ...{ exec: ['busybox', 'sh', '/probe', 'user', 'root'], user: '33', group: '34' },
    ...{ supplementaryGIDs: [35], workingDirectory: '/usr' },
    environment: [
      { name: 'COLOUR', value: 'blue and\tgreen' },
      { name: 'AC_APP_NAME', value: 'another' },
      { name: 'container', value: 'another' },
    ],
    mountPoints: [{ name: 'data', path: '/srv/data', readOnly: true }],
    isolators: [
      { name: 'os/linux/no-new-privileges', value: true },
      { name: 'os/linux/oom-score-adj', value: 250 },
      { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN', 'CAP_KILL'] } },
      { name: 'os/linux/seccomp-remove-set', value: { set: ['mkdir', 'mkdirat'], errno: 'EXDEV' } },
    ],
  };
  const shared = { volume: 'shared', path: '/srv/deep/shared' };
  const others = ['private', 'data', 'bare', 'file'].map((volume) => ({ volume, path: `/srv/${volume}` }));
  return {
    apps: [
      app('root', { app: root, mounts: [shared, ...others] }),
      app('user', { app: user, mounts: [shared], readOnlyRootFS: true }),
    ],
    volumes: [
      { name: 'shared', kind: 'empty', mode: '0777' },
      { name: 'private', kind: 'empty', mode: '2750', uid: 33, gid: 34 },
      { name: 'full', kind: 'empty' },
      { name: 'data', kind: 'host', source: '/srv/data' },
      { name: 'bare', kind: 'host', source: '/srv/data', readOnly: true, recursive: false },
      { name: 'file', kind: 'host', source: '/srv/file', readOnly: true },
    ],
    annotations: annotations({ 'wherry/network': 'bridge', 'wherry/metadata': 'true' }),
  };
}

/** One app without a network. A lone app creates its own namespaces. */
export function alone(): Record<string, unknown> {
  return { annotations: annotations({ 'wherry/network': 'none' }) };
}

/** An app with mounts that the device must refuse. */
export function mounting(image: BuiltImage, volumes: object[], paths: readonly string[]) {
  return {
    apps: [
      {
        ...{ name: 'main', image: { id: image.id, name: image.name } },
        mounts: paths.map((path, index) => ({ volume: `v${index}`, path })),
      },
    ],
    volumes: volumes.map((volume, index) => ({ name: `v${index}`, ...volume })),
  };
}

/** On the board: a directory with a mount below it, and a file. */
export const hostVolumes = `mkdir -p /srv/data/below && mount -t tmpfs none /srv/data/below
  echo page >/srv/data/below/page; echo content >/srv/file; chmod 0640 /srv/file`;
