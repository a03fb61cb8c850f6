import { expect, it } from 'vitest';
import { describeReport } from '../../qemu/main-job/prompt.ts';
import type { AppReport } from '../../src/wire/report/report.ts';
import { sampleReport } from '../support/sample-messages.ts';

const app: AppReport = {
  name: 'main',
  imageId: 'sha512-00',
  state: 'active/running',
  restarts: 0,
  lastResult: 'success',
  oomKills: 0,
};

const describeApp = (counted: Partial<AppReport>): string => {
  const apps = [{ ...app, ...counted }];
  return describeReport(
    sampleReport({ pods: [{ name: 'web', uuid: '0', healthy: true, apps, isolators: [] }] }),
  );
};

it('reports that memory and tasks are not counted if the kernel does not count them', () => {
  expect(describeApp({})).toContain('memory not counted, tasks not counted');
  expect(describeApp({ memoryBytes: 2 ** 20, tasks: 0 })).toContain('memory 1.0 MiB of no limit, 0 tasks');
});
