import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/** `wherry exec` with real systemd and crun. */
describe.each(oneBoard)('a program run in an app on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName));
    const app = (name: string, more: object) => ({
      ...{ name, image: { id: image.id, name: image.name } },
      app: { exec: [busybox, 'sleep', '1000000'], user: '0', group: '0', ...more },
    });
    const confined = [
      { name: 'os/linux/no-new-privileges', value: true },
      { name: 'os/linux/oom-score-adj', value: 250 },
      // Only the filter returns this error.
      { name: 'os/linux/seccomp-remove-set', value: { set: ['mkdir', 'mkdirat', 'mkdirr'], errno: 'EXDEV' } },
    ];
    const event = await scene.deploy(
      scene.desired([
        {
          ...{ name: 'confined-pod', image },
          manifest: {
            apps: [
              app('user', {
                ...{ user: '33', group: '34', supplementaryGIDs: [35], isolators: confined },
                ...{ workingDirectory: '/usr', environment: [{ name: 'COLOUR', value: 'blue' }] },
              }),
              app('root', {
                isolators: [{ name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN'] } }],
              }),
            ],
          },
        },
      ]),
    );
    expect(event.outcome, JSON.stringify(event)).toBe('committed');
  });
  afterAll(() => scene.stop());

  const exec = (app: string, command: string, input = '</dev/null') =>
    scene.board.run(`wherry exec confined-pod ${app} -- ${command} ${input}`);
  const output = async (app: string, command: string): Promise<string> => {
    const { status, stdout, stderr } = await exec(app, command);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  };
  const unitOf = async (app: string): Promise<string> =>
    (
      await scene.board.check(`cd /etc/systemd/system; ls -d wherry-pod-confined*.????????-${app}.service`)
    ).trim();
  const show = async (app: string, property: string): Promise<string> =>
    (await scene.board.check(`systemctl show -P ${property} '${await unitOf(app)}'`)).trim();
  /** The lines of /proc/PID/status that list what a process may do. */
  const powers = (status: string): readonly string[] =>
    status
      .split('\n')
      .filter((line) => /^(Uid|Gid|Groups|Umask|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):/.test(line));
  const ofApp = async (app: string): Promise<readonly string[]> =>
    powers(await scene.board.check(`cat /proc/${await show(app, 'MainPID')}/status`));
  const ofExecuted = async (app: string): Promise<readonly string[]> =>
    powers(await output(app, `${busybox} cat /proc/self/status`));

  it.each(['user', 'root'])(
    'has the capabilities of the app %s and no more [CVE-2019-10144] [C120]',
    async (app) => {
      const executed = await ofExecuted(app);
      expect(executed).toHaveLength(11);
      expect(executed).toEqual(await ofApp(app));
      // CAP_CHOWN is bit 0 (linux/capability.h).
      if (app === 'root') expect(executed).toContain(`CapEff:\t${'1'.padStart(16, '0')}`);
      else expect(executed).toContain('NoNewPrivs:\t1');
    },
  );

  it('has the seccomp filter of the app [CVE-2019-10145]', async () => {
    expect(await ofExecuted('user')).toContain('Seccomp:\t2');
    const made = await exec('user', `${busybox} mkdir /tmp/made`);
    expect(made).toMatchObject({ status: 1, stderr: expect.stringMatching(/cross-device link/i) as string });
    expect(await exec('root', `${busybox} mkdir /made`)).toMatchObject({ status: 0 });
  });

  it('has a filter whose report lists the names that are not system calls [C285]', async () => {
    const { pods } = await scene.report(({ pods: [pod] }) => pod?.isolators.length === 4);
    expect(pods[0]?.isolators).toContainEqual({
      ...{ app: 'user', name: 'os/linux/seccomp-remove-set', outcome: 'modified' },
      detail: 'not known here: mkdirr',
    });
  });

  it('is in the cgroup and the namespaces of the app [CVE-2019-10147]', async () => {
    const [main, group] = [await show('user', 'MainPID'), await show('user', 'ControlGroup')];
    const procs = `/sys/fs/cgroup${group}/cgroup.procs`;
    expect((await scene.board.check(`cat '${procs}'`)).trim()).toBe(main);
    const started = scene.board.run(`wherry exec confined-pod user -- ${busybox} sleep 4321 </dev/null`);
    const find = `for pid in $(cat '${procs}'); do grep -qa 4321 /proc/$pid/cmdline && echo $pid; done`;
    const { stdout } = await scene.board.waitFor(find, ({ stdout: found }) => found.trim() !== '');
    const pid = stdout.trim();
    const facts = (of: string) =>
      scene.board.check(`
        sed -n s/^0:://p /proc/${of}/cgroup; cat /proc/${of}/oom_score_adj; stat -Lc %d:%i /proc/${of}/root /proc/${of}/cwd
        cd /proc/${of}/ns; for ns in cgroup ipc mnt net pid user uts; do readlink $ns; done`);
    expect(await facts(pid)).toBe(await facts(main));
    expect(await facts(pid)).toContain(`${group}\n`);
    await scene.board.check(`kill -TERM ${pid}`);
    expect((await started).status).toBe(143);
    expect((await scene.board.check(`cat '${procs}'; ls -d /run/wherry/apps/*/exec-* || :`)).trim()).toBe(
      main,
    );
  });

  it('has the environment of the app, its directory, and nothing of the host', async () => {
    const said = await output('user', `${busybox} sh -c '${busybox} env; pwd; ls /proc/self/fd' 2>/dev/null`);
    expect(said.split('\n')).toEqual(expect.arrayContaining(['COLOUR=blue', 'AC_APP_NAME=user', '/usr']));
    const descriptors = await output(
      'root',
      `${busybox} sh -c 'for fd in /proc/self/fd/*; do echo \${fd##*/}; done'`,
    );
    // 3 is the directory that the shell reads.
    expect(descriptors.trim().split('\n')).toEqual(['0', '1', '2', '3']);
  });

  it('ends with its own exit status, and gets signals', async () => {
    expect((await exec('root', `${busybox} sh -c 'exit 7'`)).status).toBe(7);
    expect(await exec('root', `${busybox} sh -c 'kill -9 $$'`)).toMatchObject({ status: 137, stderr: '' });
    const { stdout } = await scene.board.run(
      `mkfifo /tmp/up
       wherry exec confined-pod root -- ${busybox} sh -c 'trap "echo caught; exit 9" TERM; echo up; while :; do ${busybox} sleep 0.1; done' </dev/null >/tmp/up & executed=$!
       exec 4</tmp/up; read -r line <&4; kill -TERM $executed; cat <&4; wait $executed; echo "$line $?"`,
    );
    expect(stdout).toBe('caught\nup 9\n');
  });

  it('gets standard input only when it is passed', async () => {
    const cat = (flags: string) =>
      scene.board.run(`echo given | wherry exec ${flags} confined-pod root -- ${busybox} cat`);
    expect(await cat('')).toMatchObject({ status: 0, stdout: '' });
    expect(await cat('-i')).toMatchObject({ status: 0, stdout: 'given\n' });
    expect(await cat('-it')).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('(usage)') as string,
    });
  });

  // crun 1.21 ends with the program, also if it has not yet passed on what the program wrote to its
  // terminal, and sets the size of that terminal after the program has begun.
  it('has a terminal of the app when the caller has one', async () => {
    // systemd-run gives the command a terminal.
    const onTerminal = (flags: string, command: string) =>
      scene.board.run(
        `systemd-run --quiet --collect --wait --pty --setenv=TERM=vt220 wherry exec ${flags} confined-pod user -- ${command} </dev/null >/tmp/said 2>&1; status=$?; cat /tmp/said; exit $status`,
      );
    const inside = await onTerminal(
      '',
      `${busybox} sh -c 'test -t 0 && ${busybox} tty && echo $TERM >/dev/tty; ${busybox} sleep 1; exit 5'`,
    );
    expect(inside.status).toBe(5);
    expect(inside.stdout.replaceAll('\r', '')).toMatch(/^\/dev\/pts\/\d+\nvt220\n$/);
    const without = await onTerminal('-T', `${busybox} sh -c 'test -t 1 || echo none'`);
    expect(without.stdout.replaceAll('\r', '')).toBe('none\n');
  });

  it('has a terminal that follows the size of the caller’s', async () => {
    // The file is a mark that it runs.
    const becomes = (size: string) =>
      `until [ "$(${busybox} stty size 2>/dev/null)" = "${size}" ]; do ${busybox} sleep 0.1; done; echo ${size}`;
    const inside = `${becomes('40 100')}; echo >/ready; ${becomes('50 132')}; ${busybox} sleep 1`;
    const ready = `/proc/${await show('root', 'MainPID')}/root/ready`;
    await scene.board.copyIn(
      Buffer.from(`tty >/tmp/terminal
stty rows 40 cols 100
exec wherry exec confined-pod root -- ${busybox} sh -c '${inside}'
`),
      '/tmp/resized',
    );
    // A change in the moment in which crun starts the program is lost, so it is repeated.
    const { status, stdout } = await scene.board.run(`
      systemd-run --quiet --collect --wait --pty sh /tmp/resized </dev/null >/tmp/said 2>&1 & run=$!
      until [ -e ${ready} ] || ! kill -0 $run; do sleep 0.1; done
      while kill -0 $run; do
        stty -F "$(cat /tmp/terminal)" rows 50 cols 131
        stty -F "$(cat /tmp/terminal)" rows 50 cols 132
        sleep 1
      done 2>/dev/null
      wait $run; status=$?; cat /tmp/said; exit $status`);
    expect({ status, said: stdout.replaceAll('\r', '') }).toEqual({ status: 0, said: '40 100\n50 132\n' });
  });

  it.each([
    ['elsewhere user', 'true', 'there is no pod "elsewhere" here; pods: confined-pod'],
    ['confined-pod nobody', 'true', 'the pod confined-pod has no app "nobody"; apps: root, user'],
    ['confined-pod user', 'nothing', '"nothing" was not run in the app user of the pod confined-pod'],
    ['confined-pod user', '/etc/hosts', '"/etc/hosts" was not run in the app user of the pod confined-pod'],
    ['confined-pod user', '/etc', '"/etc" was not run in the app user of the pod confined-pod'],
  ])('is refused: %s -- %s', async (where, command, message) => {
    const { status, stdout, stderr } = await scene.board.run(`wherry exec ${where} -- ${command} </dev/null`);
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toContain(`wherry: ${message}`);
    expect(stderr).toContain('(not-found)');
  });

  it('outlives a command that was killed, until the app ends [C286]', async () => {
    const procs = `/sys/fs/cgroup${await show('root', 'ControlGroup')}/cgroup.procs`;
    const running = `for pid in $(cat '${procs}'); do grep -qa 4322 /proc/$pid/cmdline && echo $pid; done; true`;
    await scene.board.check(`
      wherry exec confined-pod root -- ${busybox} sleep 4322 </dev/null >/dev/null 2>&1 & pid=$!
      until [ -n "$(${running})" ]; do sleep 0.05; done
      kill -9 $pid; wait $pid || true`);
    const left = 'ls -d /run/wherry/apps/*/exec-* 2>/dev/null | wc -l';
    expect((await scene.board.check(left)).trim()).toBe('1');
    expect(await output('root', `${busybox} echo next`)).toBe('next\n');
    const pid = (await scene.board.check(running)).trim();
    expect(pid).toMatch(/^\d+$/);
    await scene.board.check(`systemctl restart '${await unitOf('root')}'`);
    expect((await scene.board.check(left)).trim()).toBe('0');
    // A killed process keeps its entry until its parent has waited for it.
    await scene.board.waitFor(`test ! -e /proc/${pid}`);
    expect(await output('root', `${busybox} echo again`)).toBe('again\n');
  });

  it('ends with the app, and is refused when the app does not run', async () => {
    const unit = await unitOf('root');
    const group = await show('root', 'ControlGroup');
    const started = exec('root', `${busybox} sleep 4321`);
    await scene.board.waitFor(
      `grep -lqa 4321 $(sed 's|.*|/proc/&/cmdline|' '/sys/fs/cgroup${group}/cgroup.procs')`,
      ({ status }) => status === 0,
    );
    await scene.board.check(`systemctl stop '${unit}'`);
    expect(await started).toMatchObject({
      status: 137,
      stderr:
        'note: the app root of the pod confined-pod has ended or was restarted, which killed the program\n',
    });
    const { status, stderr } = await exec('root', 'true');
    expect(status).toBe(64);
    expect(stderr).toContain('the app root of the pod confined-pod does not run');
    expect(stderr).toContain('apps that run: confined-pod user');
    await scene.board.check(`systemctl start '${unit}'`);
    expect((await exec('root', `${busybox} true`)).status).toBe(0);
  });

  it('ends with its pod, which stays stopped until wherryd starts', async () => {
    const states = async (): Promise<readonly unknown[]> =>
      (JSON.parse(await scene.board.check('wherry --json pod list')) as { activeState: unknown }[]).map(
        ({ activeState }) => activeState,
      );
    const pids = async () => [await show('root', 'MainPID'), await show('user', 'MainPID')];
    expect(await states()).toEqual(['active', 'active']);
    const before = await pids();
    await scene.board.check('wherry pod restart confined-pod');
    for (const [index, pid] of (await pids()).entries()) expect(pid).not.toBe(before[index]);
    const count = scene.reports.length;
    await scene.board.check('wherry pod stop confined-pod');
    for (const state of await states()) expect(state).toMatch(/^(inactive|failed)$/);
    expect((await exec('user', 'true')).stderr).toContain('apps that run: none');
    // wherryd checks the pods before it sends a report, so it saw the stop and did not undo it.
    await scene.report(({ pods }) => scene.reports.length > count && pods.some(({ healthy }) => !healthy));
    for (const state of await states()) expect(state).toMatch(/^(inactive|failed)$/);
    await scene.board.check('wherry pod start confined-pod');
    expect(await states()).toEqual(['active', 'active']);
    await scene.board.check('wherry pod stop confined-pod; systemctl restart wherryd');
    await scene.board.waitFor(
      'wherry pod list',
      ({ stdout }) => stdout.split('\n').filter((line) => line.includes(' active (running)')).length === 2,
    );
    expect(await scene.board.run('wherry pod stop elsewhere')).toMatchObject({
      status: 64,
      stderr: 'wherry: there is no pod "elsewhere" here; pods: confined-pod (not-found)\n',
    });
  });
});
