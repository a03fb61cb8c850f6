import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { checkMessage } from '../../../src/device/agent/message-policy.ts';
import { Supervisor } from '../../../src/device/agent/supervisor.ts';
import type { SupervisorPorts } from '../../../src/device/agent/supervisor-ports.ts';
import { emptyState } from '../../../src/device/deploy/index.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';
import type { DeploymentEvent } from '../../../src/wire/report/index.ts';
import { encodeEnvelope, type DesiredState } from '../../../src/wire/trust/index.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { WorldModel } from '../../support/world-model.ts';

const messageOf = (event: DeploymentEvent | undefined): string =>
  event === undefined || event.outcome === 'committed' ? '' : event.message;

/** A supervisor whose examinations return `verdict`. Only what the tests read is real. */
function device(verdict: (text: string) => void, ports: Partial<SupervisorPorts> = {}) {
  const clock = new FakeClock();
  const world = new WorldModel();
  const events: DeploymentEvent[] = [];
  const examined: string[] = [];
  const lines: string[] = [];
  const supervisor = new Supervisor({
    keeper: world,
    world,
    clock,
    journal: { log: (level, message) => level === 'debug' || lines.push(message) },
    bootId: 'boot',
    later: (delayMs, work) => void clock.sleep(delayMs).then(work),
    examine: (message) => {
      const text = Buffer.from(message).toString();
      examined.push(text);
      verdict(text);
      const target = { device: 'device' };
      const rest = { version: 7, issued: 1, pods: [], images: [], policy: {} };
      const desired = { ...rest, target } as unknown as DesiredState;
      return Promise.resolve({ outcome: 'new', desired, payloadSha256: 'x', signedBy: ['key'] });
    },
    onChange: () => undefined,
    startPods: () => Promise.resolve(),
    onRest: () => undefined,
    onEvent: (event) => events.push(event),
    onAccepted: () => undefined,
    ...ports,
  });
  return { supervisor, clock, events, examined, lines };
}

const oomKill = () => {
  throw new Refusal('internal', 'the examination of the message ended without a result (oom-kill)');
};

describe('an examination that failed for reasons of the device', () => {
  it('[C27] is retried with longer waits, at most five times, and reported once', async () => {
    const { supervisor, clock, events, examined } = device(oomKill);
    supervisor.receive(Buffer.from('command'));
    await clock.pass(9_999);
    expect(examined).toHaveLength(1);
    await clock.pass(1);
    expect(examined).toHaveLength(2);
    await clock.pass(1_000_000);
    expect(examined).toHaveLength(5);
    expect(events).toMatchObject([{ version: 0, outcome: 'refused', code: 'internal' }]);
  });

  it('[C27] is retried when the broker sends the message again', async () => {
    let broken = true;
    const { supervisor, clock, examined, events } = device(() => {
      if (broken) oomKill();
    });
    supervisor.receive(Buffer.from('command'));
    await settle();
    broken = false;
    supervisor.receive(Buffer.from('command'));
    await clock.pass(60_000);
    expect(examined).toHaveLength(2);
    expect(events.some(({ version, outcome }) => version === 7 && outcome === 'committed')).toBe(true);
  });

  it('[C27] is not retried after another message has arrived', async () => {
    const { supervisor, clock, examined } = device((text) => {
      if (text === 'old') oomKill();
    });
    supervisor.receive(Buffer.from('old'));
    await settle();
    supervisor.receive(Buffer.from('new'));
    await clock.pass(1_000_000);
    expect(examined).toEqual(['old', 'new']);
  });
});

describe('a disk that cannot be written', () => {
  it('[C27] is named with the version, without source lines, and the command is retried', async () => {
    const save = async () => {
      await open('/proc/none', 'w');
    };
    const { supervisor, clock, events, examined } = device(() => undefined, {
      keeper: { state: emptyState, save, update: save },
    });
    supervisor.receive(Buffer.from('command'));
    while (events.length === 0) await settle();
    expect(events).toMatchObject([{ version: 7, outcome: 'refused', code: 'disk-failed' }]);
    expect(messageOf(events[0])).not.toMatch(/\.[tj]s:\d/);
    expect(supervisor.refused).toMatchObject({ version: 7, code: 'disk-failed' });
    await clock.pass(10_000);
    expect(examined).toHaveLength(2);
  });

  it('[C27] [C375] that has room again after a day has the command carried out within an hour', async () => {
    let isFull = true;
    const { supervisor, clock, events, examined } = device(() => {
      if (isFull) throw new Refusal('no-space', 'the disk is full');
    });
    supervisor.receive(Buffer.from('command'));
    await clock.pass(24 * 3_600_000);
    expect(events).toMatchObject([{ outcome: 'refused', code: 'no-space' }]);
    expect(examined.length).toBeGreaterThan(24);
    expect(examined.length).toBeLessThan(40);
    isFull = false;
    await clock.pass(3_600_000);
    expect(events).toMatchObject([{ outcome: 'refused' }, { version: 7, outcome: 'committed' }]);
  });

  it('is reported as no-space when it has no free blocks or inodes', async () => {
    const save = async () => {
      const handle = await open('/dev/full', 'w');
      await handle.write('x').finally(() => handle.close());
    };
    const { supervisor, events } = device(() => undefined, {
      keeper: { state: emptyState, save, update: save },
    });
    supervisor.receive(Buffer.from('command'));
    while (events.length === 0) await settle();
    expect(events).toMatchObject([{ version: 7, code: 'no-space' }]);
  });
});

describe('invalid messages on the topic of commands', () => {
  const unsigned = (text: string) => {
    if (text.startsWith('rubbish')) throw new Refusal('signature-invalid', `${text} is not signed`);
  };

  it('[C28] cause a bounded number of examinations and log lines', async () => {
    const { supervisor, clock, examined, events, lines } = device(unsigned);
    for (let count = 0; count < 2 * 600; count++) {
      supervisor.receive(Buffer.from(`rubbish ${count}`));
      await clock.pass(500);
    }
    expect(examined.length).toBeLessThanOrEqual(20 + 600 / 8 + 1);
    expect(events.length).toBeLessThanOrEqual(30 + 600 / 10 + 1);
    expect(lines.length).toBe(events.length);
    expect(events.some((event) => /\(\d+ more were refused before\)$/.test(messageOf(event)))).toBe(true);
  });

  it('[C28] delay the newest message by less than 10 s', async () => {
    const { supervisor, clock, examined } = device(unsigned);
    for (let count = 0; count < 100; count++) {
      supervisor.receive(Buffer.from(`rubbish ${count}`));
      await clock.pass(500);
    }
    supervisor.receive(Buffer.from('a command'));
    await clock.pass(10_000);
    expect(examined.at(-1)).toBe('a command');
  });

  it('[C28] that are not envelopes are refused unexamined and do not replace a command', async () => {
    const { supervisor, clock, examined, events } = device(unsigned, { check: checkMessage });
    const signatures = ['-----BEGIN PGP SIGNATURE-----\n\nAA==\n-----END PGP SIGNATURE-----\n'];
    const command = encodeEnvelope({ payload: Buffer.from('x'), signatures });
    supervisor.receive(command);
    supervisor.receive(Buffer.from('noise'));
    supervisor.receive(Buffer.from('noise'));
    await clock.pass(1000);
    expect(examined).toEqual([Buffer.from(command).toString()]);
    expect(events[0]).toMatchObject({ version: 0, code: 'envelope-malformed' });
    expect(events.filter(({ outcome }) => outcome === 'refused')).toHaveLength(1);
  });
});
