import { describe, expect, it } from 'vitest';
import { wantsTerminal } from '../../../../src/cli/commands/device/exec.ts';
import { execCommand } from '../../../../src/cli/commands/device/exec-process.ts';
import { crunError, execProcess, notRun } from '../../../../src/device/pod/index.ts';
import {
  findRunningApp,
  holdersOf,
  activatedApps,
  parseAppUnits,
  podCommand,
} from '../../../../src/device/local-api/index.ts';
import { places } from '../../../../src/device/host/index.ts';
import { wherry } from '../../../support/recording-terminal.ts';

const uuids = {
  web: 'b6a4973a-dfe5-84c1-b2de-93ab2f85e429',
  old: '459ba801-38bf-87fc-a2db-827beeb4eb12',
} as const;

/** As `systemctl show` prints it (systemd 257). */
function shown(pod: string, uuid: string, app: string, pid: number): string {
  const part = `${pod.replaceAll('-', '\\x2d')}.${uuid.slice(0, 8)}`;
  const unit = `wherry-pod-${part}-${app}.service`;
  return [
    `MainPID=${pid}`,
    `ControlGroup=${pid === 0 ? '' : `/wherry.slice/wherry-pod.slice/wherry-pod-${part}.slice/${unit}`}`,
    `LogExtraFields=WHERRY_POD=${pod} WHERRY_POD_UUID=${uuid} WHERRY_APP=${app}`,
    `Id=${unit}`,
    `ActiveState=${pid === 0 ? 'failed' : 'active'}`,
    `SubState=${pid === 0 ? 'failed' : 'running'}`,
  ].join('\n');
}

const units = parseAppUnits(
  [
    shown('web-site', uuids.old, 'nginx', 0),
    shown('web-site', uuids.web, 'nginx', 144),
    shown('web-site', uuids.web, 'log-shipper', 0),
    shown('other', uuids.old, 'main', 180),
    'Id=wherry-pod-of-somebody.service\nActiveState=active',
  ].join('\n\n') + '\n',
);

describe('apps of a version that waits for its activation [C257]', () => {
  const unitOf = (pod: string, uuid: string, app: string) => /^Id=(.*)$/m.exec(shown(pod, uuid, app, 0))?.[1];
  const stopped = (text: string) => text.replaceAll('failed', 'inactive');
  const listed = (blocks: readonly string[], activated: readonly (string | undefined)[]) =>
    activatedApps(
      parseAppUnits(blocks.join('\n\n')),
      activated.flatMap((name) => name ?? []),
    ).map(({ unit }) => unit);
  const staged = stopped(shown('web', uuids.old, 'nginx', 0));

  it('are left out', () => {
    const current = stopped(shown('web', uuids.web, 'nginx', 0));
    expect(listed([staged, current], [unitOf('web', uuids.web, 'nginx')])).toEqual([
      unitOf('web', uuids.web, 'nginx'),
    ]);
  });

  it('are left out if only the value of a secret changes', () => {
    const unit = unitOf('web', uuids.web, 'nginx')?.replace('.service', '.3c590f7a.service');
    const other = stopped(shown('web', uuids.web, 'nginx', 0)).replace(/^Id=.*$/m, `Id=${unit}`);
    expect(listed([other, shown('web', uuids.web, 'nginx', 144)], [])).toEqual([
      unitOf('web', uuids.web, 'nginx'),
    ]);
  });

  it('are left out, too, if the pod is scheduled', () => {
    const timer = (uuid: string) => `Id=wherry-timer-web.${uuid.slice(0, 8)}.timer\nActiveState=inactive`;
    const current = stopped(shown('web', uuids.web, 'nginx', 0));
    const activated = `wherry-timer-web.${uuids.web.slice(0, 8)}.timer`;
    expect(listed([staged, timer(uuids.old), current, timer(uuids.web)], [activated])).toEqual([
      unitOf('web', uuids.web, 'nginx'),
    ]);
  });
});

describe('the runs of a scheduled app [C221]', () => {
  const timer = (next: string) =>
    `Id=wherry-timer-web\\x2dsite.b6a4973a.timer\nActiveState=active\nNextElapseUSecRealtime=${next}`;
  const app = (end: string, code: number, status: number) =>
    `${shown('web-site', uuids.web, 'nginx', 0)}\nResult=exit-code\nExecMainCode=${code}\nExecMainStatus=${status}\nExecMainExitTimestamp=${end}`;
  const runs = (...blocks: string[]) => parseAppUnits(blocks.join('\n\n'))[0]?.runs;

  it('are read from its timer and its service', () => {
    expect(runs(app('Sun 2026-11-29 02:00:07 UTC', 1, 7), timer('Mon 2026-11-30 02:00:00 UTC'))).toEqual({
      ...{ next: '2026-11-30T02:00:00Z', lastEnd: '2026-11-29T02:00:07Z' },
      ...{ lastResult: 'exit-code', exitStatus: 7 },
    });
  });

  it('have no exit status if a signal ended the app, or nothing has run', () => {
    expect(runs(app('Sun 2026-11-29 02:00:07 UTC', 2, 9), timer('n/a'))).toMatchObject({
      ...{ next: null, exitStatus: null, lastResult: 'exit-code' },
    });
    expect(runs(app('', 0, 0), timer(''))).toEqual({
      ...{ next: null, lastEnd: null, lastResult: null, exitStatus: null },
    });
  });

  it('are those of its own timer; a permanent app has none', () => {
    const other = timer('Mon 2026-11-30 02:00:00 UTC').replace('b6a4973a', '459ba801');
    expect(runs(app('', 0, 0), other)).toBeUndefined();
  });
});

it('every app of a pod finds the holder of its namespaces [C202]', () => {
  expect(holdersOf(units.filter(({ pod }) => pod === 'web-site').map(({ unit }) => unit))).toEqual([
    'wherry-holder-web\\x2dsite.459ba801.service',
    'wherry-holder-web\\x2dsite.b6a4973a.service',
  ]);
});

describe('the app of an execution', () => {
  it('is the running one, with the paths of its container', () => {
    expect(findRunningApp(units, 'web-site', 'nginx', places)).toEqual({
      unit: 'wherry-pod-web\\x2dsite.b6a4973a-nginx.service',
      ...{ pod: 'web-site', uuid: uuids.web, app: 'nginx', activeState: 'active', subState: 'running' },
      mainPid: 144,
      controlGroup:
        '/wherry.slice/wherry-pod.slice/wherry-pod-web\\x2dsite.b6a4973a.slice/wherry-pod-web\\x2dsite.b6a4973a-nginx.service',
      containerId: `${uuids.web}-nginx`,
      runtime: `/run/wherry/apps/${uuids.web}-nginx`,
      bundle: `/var/lib/wherry/pods/${uuids.web}/apps/nginx`,
    });
  });

  it.each([
    ['website', 'nginx', 'there is no pod "website" here; pods: other, web-site'],
    ['web-site', 'apache', 'the pod web-site has no app "apache"; apps: log-shipper, nginx'],
    ['web-site', '../nginx', 'the pod web-site has no app "../nginx"; apps: log-shipper, nginx'],
    [
      ...['web-site', 'log-shipper'],
      'the app log-shipper of the pod web-site does not run: its unit is failed (failed), see "systemctl status \'wherry-pod-web\\x2dsite.b6a4973a-log-shipper.service\'"; apps that run: other main, web-site nginx',
    ],
  ])('is refused with a list of what exists: %s %s', (...row) => {
    const [pod, app = '', message] = row;
    expect(() => findRunningApp(units, pod, app, places)).toThrow(
      expect.objectContaining({ code: 'not-found', message }) as Error,
    );
  });

  it('is refused on a device without pods', () => {
    expect(() => findRunningApp([], 'web', 'nginx', places)).toThrow(
      'there is no pod "web" here; pods: none',
    );
  });
});

describe('the process of an execution', () => {
  const own = {
    ...{ terminal: false, user: { uid: 33, gid: 34, umask: 18, additionalGids: [7] }, args: ['/bin/web'] },
    ...{
      env: ['PATH=/bin', 'TERM=dumb'],
      cwd: '/srv',
      noNewPrivileges: true,
      apparmorProfile: 'web',
      selinuxLabel: 'u:r:t:s0',
    },
    capabilities: { bounding: ['CAP_KILL'], permitted: [], effective: [] },
  };
  const config = JSON.stringify({ ociVersion: '1.0.2', process: own, root: { path: '/x' } });
  const input = { command: ['sh', '-c', 'a b'], hasTerminal: false, term: 'vt220' };

  it('is that of the app with another command', () => {
    expect(JSON.parse(execProcess(config, input))).toEqual({
      ...own,
      args: ['sh', '-c', 'a b'],
    });
  });

  it('has the kind of its terminal, if there is one', () => {
    const env = (term: string | undefined) =>
      (JSON.parse(execProcess(config, { ...input, hasTerminal: true, term })) as { env: unknown }).env;
    expect(env('vt220')).toEqual(['PATH=/bin', 'TERM=vt220']);
    expect(env(undefined)).toEqual(['PATH=/bin', 'TERM=dumb']);
  });

  it('executes crun only after it was moved to the cgroup', () => {
    const app = findRunningApp(units, 'web-site', 'nginx', places);
    expect(execCommand(app, { process: '/p', log: '/l' }, '/usr/bin/crun')).toEqual([
      ...['/bin/sh', '-c', 'read -r moved <&3 && exec "$@" 3<&-', 'wherry-exec'],
      ...['/usr/bin/crun', `--root=/run/wherry/apps/${uuids.web}-nginx`, '--cgroup-manager=disabled'],
      ...['--log=file:/l', '--log-format=json', 'exec', '--process=/p', `${uuids.web}-nginx`],
    ]);
  });

  it.each([
    ['', undefined],
    ['{"msg":"slow","level":"warning","time":"t"}\n', undefined],
    ['{"msg":"slow","level":"warning"}\n{"msg":"no such file","level":"error"}\n', 'no such file'],
    [
      '{\n  "msg": "slow",\n  "level": "warning"\n}\n{\n  "msg": "{ no }",\n  "level": "error"\n}\n',
      '{ no }',
    ],
    ['{\n  "msg": "cut off",\n  "lev', undefined],
    ['{\n  "msg": "cut\n{"msg":"no such file","level":"error"}\n', 'no such file'],
  ])('failed when crun logged an error: %j', (log, error) => {
    expect(crunError(log)).toBe(error);
  });
});

describe('a program that crun does not run', () => {
  it.each([
    ['executable file `x` not found in $PATH: No such file or directory', 'not-found'],
    ['the path `/etc/hosts` exists but it is not executable: Operation not permitted', 'not-found'],
    ['the path `/etc` is not a regular file: Operation not permitted', 'not-found'],
    ['write to `cgroup.procs`: Permission denied', 'device-unsupported'],
  ])('%s is %s', (error, code) => {
    expect(notRun({ app: 'main', pod: 'web' }, 'x', error)).toMatchObject({
      code,
      message: `"x" was not run in the app main of the pod web: ${error}`,
    });
  });
});

describe('the terminal of an execution', () => {
  it.each([
    [{}, true, true, true],
    [{}, true, false, false],
    [{}, false, true, false],
    [{ tty: true }, true, false, true],
    [{ tty: false }, true, true, false],
  ] as const)('%j with input %s and output %s: %s', (flags, input, output, expected) => {
    expect(wantsTerminal(flags, input, output)).toBe(expected);
  });

  it('is refused without a terminal of the caller', () => {
    expect(() => wantsTerminal({ tty: true }, false, true)).toThrow(
      expect.objectContaining({ code: 'usage' }) as Error,
    );
  });
});

describe('wherry pod', () => {
  it('changes all apps of the pod and no others', () => {
    expect(podCommand(units, 'restart', 'other')).toEqual([
      ...['restart', '--', 'wherry-pod-other.459ba801-main.service'],
    ]);
    expect(podCommand(units, 'stop', 'web-site')).toHaveLength(5);
  });

  it('refuses an unknown pod with a list of the pods', () => {
    expect(() => podCommand(units, 'stop', 'web')).toThrow(
      expect.objectContaining({
        code: 'not-found',
        message: 'there is no pod "web" here; pods: other, web-site',
      }) as Error,
    );
  });
});

describe('wherry exec', () => {
  it.each([[['exec', 'web', 'nginx']], [['exec', 'web']], [['exec', 'web', 'nginx', 'ls', '-l']]])(
    'refuses %j',
    async (words) => {
      expect(await wherry(words)).toMatchObject({ status: 64, out: '' });
    },
  );

  it('passes options after "--" to the program', async () => {
    const { status, out, err } = await wherry(['exec', 'web', 'nginx', '--', 'ls', '--json', 'status']);
    expect(status).not.toBe(0);
    expect(out).toBe('');
    expect(err).not.toContain('usage');
  });
});
