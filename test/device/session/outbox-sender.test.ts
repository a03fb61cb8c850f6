import { describe, expect, it } from 'vitest';
import { telemetryOf } from '../../../src/device/agent/readings.ts';
import { Outbox } from '../../../src/device/session/outbox.ts';
import { OutboxSender } from '../../../src/device/session/outbox-sender.ts';
import { type Connection, ConnectionLost } from '../../../src/wire/mqtt/index.ts';
import { deviceTopics } from '../../../src/wire/report/index.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';
import { sampleReadings } from '../../support/sample-readings.ts';

const topics = deviceTopics('harbour', 'crane-7');

/** A connection whose broker answers when the test calls `answer` or `fail`. */
class SlowConnection implements Connection {
  readonly topics: string[] = [];
  readonly ended = new Promise<ConnectionLost>(() => undefined);
  aborted: ConnectionLost | undefined;
  answer: () => void = () => undefined;
  fail: (loss: ConnectionLost) => void = () => undefined;

  publish({ topic }: { readonly topic: string }): Promise<void> {
    this.topics.push(topic);
    return new Promise((resolve, reject) => {
      this.answer = resolve;
      this.fail = reject;
    });
  }

  abort(loss: ConnectionLost): void {
    this.aborted = loss;
  }

  mostPayloadBytes = () => Infinity;
  subscribe = () => Promise.resolve();
  close = () => Promise.resolve();
}

function sender() {
  const outbox = new Outbox();
  const parts = { clock: new FakeClock(), journal: { log: () => undefined }, topics, outbox };
  return { outbox, sender: new OutboxSender(parts) };
}

describe('the sender of the outbox', () => {
  it('sends one message at a time', async () => {
    const { outbox, sender: one } = sender();
    const connection = new SlowConnection();
    outbox.putEvent(sampleEvent());
    one.over(connection);
    outbox.putReport(sampleReport());
    void one.send();
    await settle();
    expect(connection.topics).toEqual([topics.event]);
    connection.answer();
    await settle();
    expect(connection.topics).toEqual([topics.event, topics.reported]);
  });

  it.each([
    ['fails', (first: SlowConnection) => first.fail(new ConnectionLost('closed', 'gone')), topics.event],
    ['is acknowledged', (first: SlowConnection) => first.answer(), topics.reported],
  ])('continues on the next connection when a message on the one before %s', async (_, end, next) => {
    const { outbox, sender: one } = sender();
    const [first, second] = [new SlowConnection(), new SlowConnection()];
    outbox.putEvent(sampleEvent());
    outbox.putReport(sampleReport());
    one.over(first);
    await settle();
    one.over(undefined);
    one.over(second);
    await settle();
    expect(second.topics).toEqual([]);
    end(first);
    await settle();
    expect(first.topics).toEqual([topics.event]);
    expect(second.topics).toEqual([next]);
  });

  it('gives up a connection on which telemetry is not acknowledged', async () => {
    const { outbox, sender: one } = sender();
    const connection = new SlowConnection();
    outbox.putTelemetry(telemetryOf(undefined, sampleReadings()));
    one.over(connection);
    await settle();
    connection.fail(new ConnectionLost('closed', 'no answer'));
    await settle();
    expect(connection.aborted?.message).toBe('no answer');
  });
});
