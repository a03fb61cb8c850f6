import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import { previewDeploy } from '../../../src/operator/fleet/index.ts';
import { podUuid } from '../../../src/wire/trust/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';

const manifest = (text: string): Uint8Array => Buffer.from(text);
const wanted = (name: string, text: string) => ({ name: name as AcName, manifest: manifest(text) });
const running = (name: string, text: string) => ({
  ...{ name, uuid: podUuid(name, manifest(text)), healthy: true, apps: [], isolators: [] },
});

describe('the effect of a command on the pods of a device', () => {
  const report = sampleReport({ pods: [running('web', '1'), running('db', '1'), running('log', '1')] });

  it('keeps unchanged pods, and restarts those whose manifest changes', () => {
    expect(previewDeploy(report, [wanted('web', '1'), wanted('db', '2'), wanted('new', '1')])).toEqual({
      ...{ device: 'crane-7', currentVersion: 3, reportedAt: report.at },
      ...{ stop: ['db', 'log'], start: ['db', 'new'], keep: ['web'] },
    });
  });

  it.each([
    [{ version: 4, phase: 'activate' } as const, 4],
    [{ version: 4, phase: 'committed' } as const, undefined],
    [{ version: 4, phase: 'refused', code: 'no-space', message: 'full' } as const, undefined],
  ])('warns when other pods may run by then: %j', (deployment, underWay) => {
    expect(previewDeploy({ ...report, deployment }, []).underWay).toBe(underWay);
  });
});
