import { expect, it } from 'vitest';
import { Reporter } from '../../../src/device/agent/reporter.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { sampleReport } from '../../support/sample-messages.ts';

it('neither waits for a report nor logs that it is missing after its end', async () => {
  const clock = new FakeClock();
  const published: number[] = [];
  const errors: unknown[] = [];
  const reporter = new Reporter(
    clock,
    () => Promise.resolve(sampleReport({ seq: published.length })),
    ({ seq }) => published.push(seq),
    (error) => errors.push(error),
  );
  reporter.request();
  await settle();
  reporter.request();
  await settle();
  reporter.close();
  await clock.pass(5000);
  expect(published).toEqual([0]);
  expect(errors).toEqual([]);
});
