import { afterEach, describe, expect, it } from 'vitest';
import { connectSystemd, type SystemdConnection } from '../../../src/device/systemd/manager.ts';
import { type Call, fakeSystemd } from './fake-systemd.ts';

const job = '/org/freedesktop/systemd1/job/7';
const unit = 'wherry-pod-demo.12345678-web.service';
const unitPath = '/org/freedesktop/systemd1/unit/wherry_2dpod_2ddemo_2e12345678_2dweb_2eservice';

type Answers = Partial<Record<string, (call: Call) => void>>;

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function connect(answers: Answers) {
  const calls: string[] = [];
  const fake = await fakeSystemd((call) => {
    calls.push(call.member);
    const answer = answers[call.member];
    if (answer !== undefined) answer(call);
    else call.answer();
  });
  const systemd: SystemdConnection = connectSystemd({ socketPath: fake.socketPath, watched: ['wherry-'] });
  open.push(async () => {
    systemd.close();
    await fake.close();
  });
  return { systemd, fake, calls };
}

const removed = (call: Call, result: string, path = job) =>
  call.signal('JobRemoved', 'uoss', [7, path, unit, result]);

const changed = (call: Call, path: string, result?: string) =>
  call.signal(
    'PropertiesChanged',
    'sa{sv}as',
    result === undefined
      ? ['org.freedesktop.systemd1.Unit', [], []]
      : ['org.freedesktop.systemd1.Service', [['Result', ['s', result]]], []],
    path,
    'org.freedesktop.DBus.Properties',
  );

describe('starting a unit', () => {
  it('subscribes before it starts anything', async () => {
    const { systemd, calls } = await connect({
      StartUnit: (call) => {
        call.answer('o', job);
        removed(call, 'done');
      },
    });
    await systemd.start(unit);
    expect(calls).toEqual(['Subscribe', 'StartUnit']);
  });

  it('replaces a job that contradicts it', async () => {
    let args: readonly unknown[] = [];
    const { systemd } = await connect({
      StartUnit: (call) => {
        args = call.args;
        call.answer('o', job);
        removed(call, 'done');
      },
    });
    await systemd.start(unit);
    expect(args).toEqual([unit, 'replace']);
  });

  it.each(['done', 'failed', 'timeout', 'dependency', 'canceled', 'skipped'])(
    'returns how the job ended: %s',
    async (result) => {
      const { systemd } = await connect({
        StartUnit: (call) => {
          call.answer('o', job);
          removed(call, result);
        },
      });
      expect(await systemd.start(unit)).toBe(result);
    },
  );

  it('does not miss a job that ends before the call returns', async () => {
    const { systemd } = await connect({
      StartUnit: (call) => {
        removed(call, 'failed');
        call.answer('o', job);
      },
    });
    expect(await systemd.start(unit)).toBe('failed');
  });

  it('waits for its own job only', async () => {
    const { systemd } = await connect({
      StartUnit: (call) => {
        removed(call, 'failed', '/org/freedesktop/systemd1/job/6');
        call.answer('o', job);
        removed(call, 'failed', '/org/freedesktop/systemd1/job/8');
        removed(call, 'done');
      },
    });
    expect(await systemd.start(unit)).toBe('done');
  });

  it('treats an unknown result as a failure', async () => {
    const { systemd } = await connect({
      StopUnit: (call) => {
        call.answer('o', job);
        removed(call, 'vanished');
      },
    });
    expect(await systemd.stop(unit)).toBe('failed');
  });

  it('reports why systemd refuses', async () => {
    const { systemd } = await connect({
      StartUnit: (call) => call.fail('org.freedesktop.systemd1.NoSuchUnit', `Unit ${unit} not found.`),
    });
    await expect(systemd.start(unit)).rejects.toMatchObject({
      code: 'activation-failed',
      message: expect.stringContaining('not found') as string,
    });
  });

  it('stops waiting when it is aborted', async () => {
    const abort = new AbortController();
    const { systemd } = await connect({
      StartUnit: (call) => {
        call.answer('o', job);
        // Everything that follows arrives after the answer.
        changed(call, unitPath);
      },
    });
    systemd.watch(() => abort.abort(new Error('superseded')));
    await expect(systemd.start(unit, abort.signal)).rejects.toThrow('superseded');
  });
});

describe('a start that no caller awaits any more', () => {
  it('is still requested, like one that was aborted meanwhile', async () => {
    const { systemd, calls } = await connect({ StartUnit: (call) => call.answer('o', job) });
    const reason = new Error('superseded');
    await expect(systemd.start(unit, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(calls).toEqual(['Subscribe', 'StartUnit']);
  });

  it('never applies to a service that is run to its end', async () => {
    const { systemd, calls } = await connect({});
    await expect(systemd.run(unit, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
    expect(calls).toEqual([]);
  });
});

describe('links of units', () => {
  it.each([
    ['made or removed', 'symlink', 1],
    ['there already, to a unit that does not exist', 'destination not present', 0],
  ])('that are %s', async (_what, kind, reloads) => {
    const calls: unknown[] = [];
    const note = (call: Call, signature: string, ...body: unknown[]) => {
      calls.push([call.member, ...call.args]);
      call.answer(signature, ...body);
    };
    const { systemd } = await connect({
      EnableUnitFiles: (call) => note(call, 'ba(sss)', true, [[kind, 'link', unit]]),
      DisableUnitFiles: (call) =>
        note(call, 'a(sss)', [[kind === 'symlink' ? 'unlink' : kind, 'link', unit]]),
      Reload: (call) => {
        calls.push('Reload');
        call.answer();
      },
    });
    await systemd.enable([unit]);
    await systemd.disable([unit]);
    const reload = Array<string>(reloads).fill('Reload');
    expect(calls).toEqual([
      ...[['EnableUnitFiles', [unit], false, true], ...reload],
      ...[['DisableUnitFiles', [unit], false], ...reload],
    ]);
  });
});

describe('running a service to its end', () => {
  /**
   * systemd emits both signals on each change of a unit, also at its start, before it removes the
   * job.
   */
  const told = (call: Call, result: string, path = unitPath, status = 0) => {
    for (const [from, changes] of [
      [
        'Service',
        [
          ['MainPID', ['u', 0]],
          ['Result', ['s', result]],
          ['ExecMainStatus', ['i', status]],
        ],
      ],
      ['Unit', [['ActiveState', ['s', 'failed']]]],
    ] as const)
      call.signal(
        'PropertiesChanged',
        'sa{sv}as',
        [`org.freedesktop.systemd1.${from}`, changes, []],
        path,
        'org.freedesktop.DBus.Properties',
      );
  };

  it.each([
    ['done', 'success', 'done'],
    ['failed', 'signal', 'signal'],
    ['failed', 'oom-kill', 'oom-kill'],
    ['dependency', 'success', 'dependency'],
  ])('returns the end of the job (%s) and of the service (%s): %s', async (jobResult, result, end) => {
    const { systemd, calls } = await connect({
      StartUnit: (call) => {
        told(call, 'success');
        call.answer('o', job);
        told(call, result);
        told(call, 'timeout', '/org/freedesktop/systemd1/unit/other_2eservice');
        removed(call, jobResult);
      },
    });
    expect(await systemd.run(unit)).toBe(end);
    // systemd may have unloaded the unit by now, so its properties are not queried.
    expect(calls).toEqual(['Subscribe', 'StartUnit']);
  });

  it('returns that systemd could not decrypt a credential of the service', async () => {
    const { systemd } = await connect({
      StartUnit: (call) => {
        call.answer('o', job);
        told(call, 'exit-code', unitPath, 243);
        removed(call, 'failed');
      },
    });
    expect(await systemd.run(unit)).toBe('credentials');
  });

  it('returns how its job ended when the service never started', async () => {
    let attempt = 0;
    const { systemd } = await connect({
      StartUnit: (call) => {
        attempt += 1;
        call.answer('o', job);
        if (attempt === 1) told(call, 'signal');
        removed(call, attempt === 1 ? 'failed' : 'canceled');
      },
    });
    expect(await systemd.run(unit)).toBe('signal');
    expect(await systemd.run(unit)).toBe('canceled');
  });
});

describe('a lost connection', () => {
  it('makes the client request a start once more', async () => {
    let attempt = 0;
    const { systemd, fake } = await connect({
      StartUnit: (call) => {
        attempt += 1;
        call.answer('o', job);
        if (attempt === 1) call.hangUp();
        else removed(call, 'done');
      },
    });
    expect(await systemd.start(unit)).toBe('done');
    expect(fake.connections()).toBe(2);
  });

  it('is reported when it is lost a second time', async () => {
    const { systemd } = await connect({ Reload: (call) => call.hangUp() });
    await expect(systemd.reload()).rejects.toMatchObject({ code: 'device-unsupported' });
  });

  it('makes watchers read all states again', async () => {
    let listed = 0;
    const { systemd, fake } = await connect({
      ListUnitsByPatterns: (call) => {
        listed += 1;
        const row = [unit, '', 'loaded', 'active', 'running', '', unitPath, 0, '', '/'];
        call.answer('a(ssssssouso)', listed === 1 ? [] : [row]);
      },
      Get: (call) => call.answer('v', call.args[1] === 'Result' ? ['s', 'oom-kill'] : ['u', 0]),
    });
    const told = new Promise((resolve) => systemd.watch((...all) => resolve(all)));
    await systemd.reload();
    fake.hangUpAll();
    expect(await told).toEqual([unit, 'oom-kill']);
  });

  it('is reported when there is no systemd', async () => {
    const systemd = connectSystemd({ socketPath: '/nonexistent/private', watched: [] });
    await expect(systemd.reload()).rejects.toMatchObject({ code: 'device-unsupported' });
  });
});

describe('messages', () => {
  it.each([
    [
      'one that claims to be larger than 4 MiB',
      [0x6c, 1, 0, 1, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0],
    ],
    ['noise', Array.from({ length: 64 }, (_, i) => i)],
  ])('end the connection: %s', async (_, bytes) => {
    const { systemd } = await connect({ Reload: (call) => call.raw(Uint8Array.from(bytes)) });
    await expect(systemd.reload()).rejects.toMatchObject({
      code: 'device-unsupported',
      message: expect.stringContaining('malformed or longer') as string,
    });
  });
});

describe('reading units', () => {
  const properties: Record<string, [string, unknown]> = {
    Result: ['s', 'oom-kill'],
    NRestarts: ['u', 3],
    MainPID: ['u', 0],
    ExecMainStatus: ['i', 9],
    ControlGroup: ['s', '/wherry.slice/x.service'],
  };

  it('returns the states and how the last run ended', async () => {
    const paths = new Set<string>();
    const asked: unknown[] = [];
    const { systemd } = await connect({
      ListUnitsByPatterns: (call) => {
        asked.push(call.args);
        call.answer('a(ssssssouso)', [
          [unit, 'App', 'loaded', 'active', 'running', '', unitPath, 0, '', '/'],
        ]);
      },
      Get: (call) => {
        paths.add(call.path);
        call.answer('v', properties[String(call.args[1])]);
      },
    });
    expect(await systemd.status(unit)).toEqual({
      name: unit,
      activeState: 'active',
      subState: 'running',
      result: 'oom-kill',
      restarts: 3,
      execMainStatus: 9,
      controlGroup: '/wherry.slice/x.service',
    });
    expect(asked).toEqual([[[], [unit]]]);
    expect([...paths]).toEqual([unitPath]);
  });

  it.each([
    ['restart', true],
    ['start', true],
    ['stop', undefined],
    ['', undefined],
  ])('tells whether a unit is to start: a job %j', async (job, isToStart) => {
    const { systemd } = await connect({
      ListUnitsByPatterns: (call) =>
        call.answer('a(ssssssouso)', [
          [unit, 'App', 'loaded', 'failed', 'failed', '', unitPath, job === '' ? 0 : 7, job, '/'],
        ]),
      Get: (call) => call.answer('v', ['u', 0]),
    });
    expect((await systemd.status(unit)).isToStart).toBe(isToStart);
  });

  it.each([
    [unit, { result: 'success', restarts: 0, execMainStatus: 0, controlGroup: '' }],
    ['run-x.mount', { result: 'success', controlGroup: '' }],
    ['wherry-pod-x.slice', { controlGroup: '' }],
    ['wherry-timer-x.timer', {}],
  ])('asks systemd for no property of a unit that is not loaded: %s', async (name, rest) => {
    const { systemd } = await connect({
      ListUnitsByPatterns: (call) => call.answer('a(ssssssouso)', []),
      Get: (call) => call.fail('org.freedesktop.DBus.Error.Failed', 'the unit would be loaded'),
    });
    expect(await systemd.status(name)).toEqual({ name, activeState: 'inactive', subState: 'dead', ...rest });
  });

  it('lists the units that a unit needs and that are not active [C254]', async () => {
    const needs: Readonly<Record<string, unknown>> = {
      Requires: ['as', ['srv-data.mount', 'wherry.slice']],
      BindsTo: ['as', ['wherry-holder-x.service']],
    };
    const listed = (name: string, state: string) => [name, '', 'loaded', state, '', '', '/', 0, '', '/'];
    let patterns: unknown;
    const { systemd } = await connect({
      Get: (call) => call.answer('v', needs[String(call.args[1])]),
      ListUnitsByPatterns: (call) => {
        [, patterns] = call.args;
        call.answer('a(ssssssouso)', [
          listed('srv-data.mount', 'failed'),
          listed('wherry.slice', 'active'),
          listed('wherry-holder-x.service', 'inactive'),
        ]);
      },
    });
    expect(await systemd.unmet(unit)).toEqual(['srv-data.mount', 'wherry-holder-x.service']);
    expect(patterns).toEqual(['srv-data.mount', 'wherry.slice', 'wherry-holder-x.service']);
  });

  it('lists units by pattern', async () => {
    const { systemd } = await connect({
      ListUnitsByPatterns: (call) =>
        call.answer('a(ssssssouso)', [[unit, 'App', 'loaded', 'failed', 'failed', '', unitPath, 0, '', '/']]),
    });
    expect(await systemd.list(['wherry-*'])).toEqual([
      { name: unit, activeState: 'failed', subState: 'failed' },
    ]);
  });

  it('resets failures, also when there are none', async () => {
    const { systemd } = await connect({
      ResetFailedUnit: (call) => call.fail('org.freedesktop.systemd1.NoSuchUnit', 'not loaded'),
    });
    await systemd.resetFailed(unit);
  });

  it('removes the records of a timer, also if there are none', async () => {
    const calls: unknown[] = [];
    const { systemd } = await connect({
      CleanUnit: (call) => {
        calls.push(call.args);
        if (calls.length === 1) call.answer();
        else call.fail('org.freedesktop.systemd1.NothingToClean', 'no stamp');
      },
    });
    await systemd.forgetRuns('wherry-timer-x.timer');
    await systemd.forgetRuns('wherry-timer-x.timer');
    expect(calls).toEqual([
      ['wherry-timer-x.timer', ['state']],
      ['wherry-timer-x.timer', ['state']],
    ]);
  });
});

describe('watching', () => {
  it('reports changes of the watched units by signals', async () => {
    const { systemd } = await connect({
      ListUnitsByPatterns: (call) => call.answer('a(ssssssouso)', []),
      Reload: (call) => {
        changed(call, '/org/freedesktop/systemd1/unit/ssh_2eservice');
        changed(call, unitPath, 'exit-code');
        changed(call, unitPath);
        // Any query may load and unload a unit.
        call.signal('UnitNew', 'so', ['wherry-pod-x.slice', '/x']);
        call.signal('UnitRemoved', 'so', ['wherry-pod-x.slice', '/x']);
        call.answer();
      },
    });
    const told: unknown[] = [];
    const stop = systemd.watch((...all) => void told.push(all));
    await systemd.reload();
    expect(told).toEqual([
      [unit, 'exit-code'],
      [unit, undefined],
    ]);
    stop();
    await systemd.reload();
    expect(told).toHaveLength(2);
  });
});
