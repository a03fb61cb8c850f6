import { afterEach, describe, expect, it } from 'vitest';
import { connectBus } from '../../../src/device/systemd/bus-connection.ts';
import { connectSystemd, type SystemdOptions } from '../../../src/device/systemd/index.ts';
import { type Call, fakeSystemd, type FakeSystemdOptions } from './fake-systemd.ts';
import { until } from '../../support/system-clock.ts';

const job = '/org/freedesktop/systemd1/job/7';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function connect(
  onCall: (call: Call) => void,
  behaviour: FakeSystemdOptions = {},
  limits: Partial<SystemdOptions> = {},
) {
  const fake = await fakeSystemd(onCall, behaviour);
  const systemd = connectSystemd({ socketPath: fake.socketPath, watched: [], ...limits });
  open.push(async () => {
    systemd.close();
    await fake.close();
  });
  return { systemd, fake };
}

describe('the first call', () => {
  it('is answered by a systemd that is busy during the handshake', async () => {
    const { systemd } = await connect((call) => call.answer(), { busyMs: 50 });
    await systemd.reload();
  });

  it('is answered at the second attempt by a systemd that is busy for longer', async () => {
    const { systemd, fake } = await connect(
      (call) => call.answer(),
      { lateMs: 300 },
      { handshakeTimeoutMs: 20, callTimeoutMs: 250_000 },
    );
    await systemd.reload();
    expect(fake.connections()).toBe(2);
  });

  it('is refused when systemd does not accept this user', async () => {
    const { systemd } = await connect((call) => call.answer(), { refuses: true });
    await expect(systemd.reload()).rejects.toMatchObject({
      code: 'device-unsupported',
      message: expect.stringContaining('authentication refused: REJECTED EXTERNAL') as string,
    });
  });
});

describe('a systemd that does not answer', () => {
  it('is abandoned in the handshake, after a second attempt', async () => {
    const { systemd, fake } = await connect(
      () => undefined,
      { deaf: true },
      { handshakeTimeoutMs: 20, callTimeoutMs: 20 },
    );
    await expect(systemd.reload()).rejects.toMatchObject({
      code: 'device-unsupported',
      message: expect.stringContaining('no answer to the handshake') as string,
    });
    // It may accept the second one after the client has abandoned it.
    await until(() => fake.connections() >= 2);
    expect(fake.connections()).toBe(2);
  });

  it('loses the connection, so the call is repeated over a new one', async () => {
    // The limit applies to the one call without an answer.
    const fake = await fakeSystemd(() => undefined);
    open.push(() => fake.close());
    const bus = await connectBus({
      ...{ socketPath: fake.socketPath, maxMessageBytes: 1 << 20, onSignal: () => undefined },
      ...{ callTimeoutMs: 20, handshakeTimeoutMs: 250_000 },
    });
    const call = bus.call({ path: '/x', interface: 'x', member: 'ResetFailedUnit' });
    await expect(call).rejects.toMatchObject({
      name: 'BusLost',
      message: expect.stringContaining('no answer to ResetFailedUnit') as string,
    });
    await bus.closed;
  });

  it('ends all calls when the connection is closed in the handshake', async () => {
    const { systemd } = await connect(() => undefined, { deaf: true });
    const call = systemd.reload();
    systemd.close();
    await expect(call).rejects.toMatchObject({ name: 'BusLost' });
  });
});

describe('a job', () => {
  it('is awaited while systemd has it', async () => {
    let checks = 0;
    const { systemd } = await connect(
      (call) => {
        if (call.member === 'StartUnit') call.answer('o', job);
        else if (call.member === 'GetJob') {
          checks += 1;
          call.answer('o', job);
          if (checks === 3) call.signal('JobRemoved', 'uoss', [7, job, 'x.service', 'done']);
        } else call.answer();
      },
      {},
      { jobCheckMs: 10 },
    );
    expect(await systemd.start('x.service')).toBe('done');
    expect(checks).toBeGreaterThanOrEqual(3);
  });

  it('whose end was lost is enqueued once more', async () => {
    let starts = 0;
    const { systemd } = await connect(
      (call) => {
        if (call.member === 'StartUnit') {
          starts += 1;
          call.answer('o', job);
          if (starts === 2) call.signal('JobRemoved', 'uoss', [7, job, 'x.service', 'done']);
        } else if (call.member === 'GetJob') call.fail('org.freedesktop.systemd1.NoSuchJob', 'no job 7');
        else call.answer();
      },
      {},
      { jobCheckMs: 10 },
    );
    expect(await systemd.start('x.service')).toBe('done');
    expect(starts).toBe(2);
  });

  it('is abandoned when systemd stops answering', async () => {
    const { systemd } = await connect(
      (call) => {
        if (call.member === 'StartUnit') call.answer('o', job);
        else if (call.member !== 'GetJob') call.answer();
      },
      {},
      { jobCheckMs: 10, callTimeoutMs: 500 },
    );
    await expect(systemd.start('x.service')).rejects.toMatchObject({ code: 'device-unsupported' });
  });
});
