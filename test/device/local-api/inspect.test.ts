import { describe, expect, it } from 'vitest';
import { renderNetwork, renderNetworks } from '../../../src/cli/commands/device/network.ts';
import { renderApps, renderPod } from '../../../src/cli/commands/device/pod.ts';
import {
  appSummary,
  type AppUnit,
  describeNetworks,
  describePod,
  type SupervisorRecord,
} from '../../../src/device/local-api/index.ts';
import type { PodReport } from '../../../src/wire/report/index.ts';
import { boardNetwork } from '../pod/demo.ts';

const uuids = { now: 'b6a4973a-dfe5-84c1-b2de-93ab2f85e429', old: '459ba801-38bf-87fc-a2db-827beeb4eb12' };

const unit = (uuid: string, app: string, pid: number): AppUnit => ({
  ...{ unit: `wherry-pod-web.${uuid.slice(0, 8)}-${app}.service`, pod: 'web', uuid, app },
  ...{ activeState: pid === 0 ? 'inactive' : 'active', subState: pid === 0 ? 'dead' : 'running' },
  ...{ mainPid: pid, controlGroup: '' },
});
const usage = ({ pod, app }: AppUnit) => ({
  ...{ pod, app, pid: null, cpuUsec: 12, memoryBytes: 1 << 20, memoryPeakBytes: null },
  ...{ memoryMaxBytes: null, tasks: 3 },
});
const reported: PodReport = {
  ...{ name: 'web', uuid: uuids.now, healthy: false },
  apps: [
    {
      ...{ name: 'nginx', imageId: `sha512-${'ab'.repeat(64)}`, state: 'active/running', restarts: 4 },
      ...{ lastResult: 'exit-code', oomKills: 0, probe: { state: 'failing', detail: 'HTTP 500' } },
    },
  ],
  isolators: [{ app: 'nginx', name: 'resource/memory', outcome: 'ignored', detail: 'no controller' }],
  network: { name: 'bridge', addresses: ['10.173.0.9'] },
};
const record = (pods: readonly PodReport[]): SupervisorRecord => ({
  report: { pods } as SupervisorRecord['report'],
  network: boardNetwork,
});
const addresses = () => ['10.173.0.2'];

describe('an inspected pod', () => {
  it('[C184] is the running one, with facts of systemd, its control group and wherryd', () => {
    const units = [unit(uuids.old, 'nginx', 0), unit(uuids.now, 'nginx', 70), unit(uuids.now, 'log', 71)];
    const pod = describePod(units, record([reported]), usage, addresses);
    expect(pod).toMatchObject({
      ...{ pod: 'web', uuid: uuids.now, healthy: false },
      network: { name: 'bridge', addresses: ['10.173.0.2'] },
      isolators: reported.isolators,
    });
    expect(pod.apps).toEqual([
      {
        ...{ app: 'nginx', unit: 'wherry-pod-web.b6a4973a-nginx.service', pid: 70 },
        ...{ activeState: 'active', subState: 'running', restarts: 4, lastResult: 'exit-code', runs: null },
        ...{ cpuUsec: 12, memoryBytes: 1 << 20, memoryPeakBytes: null, memoryMaxBytes: null, tasks: 3 },
        ...{ imageId: `sha512-${'ab'.repeat(64)}`, probe: { state: 'failing', detail: 'HTTP 500' } },
      },
      expect.objectContaining({ app: 'log', pid: 71, imageId: null, restarts: null, probe: null }),
    ]);
    expect(renderPod({ hasColour: false }, pod)).toBe(
      [
        `web ${uuids.now}: not healthy`,
        'network bridge 10.173.0.2',
        'app nginx: resource/memory ignored: no controller',
        'app nginx: probe failing: HTTP 500',
        'APP    STATE             PID  RESTARTS  LAST EXIT  MEMORY   TASKS  PROBE    IMAGE',
        'nginx  active (running)  70   4         exit-code  1.0 MiB  3      failing  sha512-abababababab',
        'log    active (running)  71   -         -          1.0 MiB  3      -        -',
      ].join('\n'),
    );
  });

  it('[C221] is shown with the runs of its schedule', () => {
    const runs = {
      ...{ next: '2026-11-30T02:00:00Z', lastEnd: '2026-11-29T02:00:07Z' },
      ...{ lastResult: 'exit-code', exitStatus: 7 },
    };
    const scheduled = { ...unit(uuids.now, 'nginx', 0), runs };
    const pod = describePod([scheduled], undefined, usage, addresses);
    expect(pod.apps[0]?.runs).toEqual(runs);
    expect(renderPod({ hasColour: false }, pod)).toContain(
      'app nginx: next run 2026-11-30T02:00:00Z, last run exit status 7 at 2026-11-29T02:00:07Z\n',
    );
    const apps = [scheduled, unit(uuids.now, 'log', 71)].map(appSummary);
    expect(renderApps({ hasColour: false }, apps).split('\n')).toEqual([
      'POD  APP    STATE             PID  NEXT RUN              LAST RUN                               UNIT',
      'web  nginx  inactive (dead)   -    2026-11-30T02:00:00Z  exit status 7 at 2026-11-29T02:00:07Z  wherry-pod-web.b6a4973a-nginx.service',
      'web  log    active (running)  71   -                     -                                      wherry-pod-web.b6a4973a-log.service',
    ]);
    expect(renderApps({ hasColour: false }, apps.slice(1))).toMatch(/^POD  APP  STATE +PID  UNIT\n/);
  });

  it('is shown from systemd alone before wherryd has reported it', () => {
    const pod = describePod([unit(uuids.old, 'nginx', 0)], undefined, usage, addresses);
    expect(pod).toMatchObject({ uuid: uuids.old, healthy: null, network: null, isolators: [] });
    expect(renderPod({ hasColour: false }, pod)).toContain(`web ${uuids.old}: not in the last report`);
  });

  it('has no addresses of its own in the network of the host', () => {
    const { network: _, ...inHost } = reported;
    const pod = describePod([unit(uuids.now, 'nginx', 7)], record([inHost]), usage, addresses);
    expect(pod.network).toEqual({ name: 'host', addresses: [] });
  });
});

describe('the networks of a device', () => {
  const lan = { cniVersion: '1.0.0', name: 'field-lan', plugins: [{ type: 'ipvlan', master: 'eth0' }] };
  const facts = { ...boardNetwork, allowHost: false, whenUnsaid: 'bridge' };
  const lists = new Map([
    ['field-lan', JSON.stringify(lan)],
    ['broken', '{'],
  ]);

  it('[C184] say whether a pod would be refused, and which pods are in each', () => {
    const networks = describeNetworks({ ...facts, lists }, [reported], addresses);
    expect(
      networks.map(({ name, isDefault, refused, pods }) => [name, isDefault, refused?.code, pods.length]),
    ).toEqual([
      ['host', false, 'pod-network-forbidden', 0],
      ['none', false, undefined, 0],
      ['bridge', true, undefined, 1],
      ['broken', false, 'config-invalid', 0],
      ['field-lan', false, 'device-unsupported', 0],
    ]);
    expect(networks[2]?.pods).toEqual([{ pod: 'web', uuid: uuids.now, addresses: ['10.173.0.2'] }]);
    expect(networks[2]?.plugins.map(({ type }) => type)).toEqual(['bridge', 'portmap']);
    expect(renderNetworks({ hasColour: false }, networks).split('\n').slice(2, 4)).toEqual([
      'none       no       -     ready',
      'bridge     yes      web   ready',
    ]);
    expect(networks.map(renderNetwork)[4]).toMatch(/^field-lan: refused \(device-unsupported\): .*ipvlan/);
    expect(networks.map(renderNetwork)[2]).toContain('\npod web 10.173.0.2');
  });
});
