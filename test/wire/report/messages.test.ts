import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/encode.ts';
import { decodePresence, encodeEvent, encodePresence, encodeReport } from '../../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../../src/wire/report/report-codec.ts';
import {
  clientIdentifier,
  deviceTopics,
  fleetFilter,
  parseDeviceTopic,
} from '../../../src/wire/report/topics.ts';
import { foldPresence } from '../../../src/wire/report/presence.ts';
import type { DeviceReport, Presence } from '../../../src/wire/report/report.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';

const imageId = `sha512-${'a'.repeat(128)}`;
const fullReport: DeviceReport = sampleReport({
  deployment: { version: 4, phase: 'fetch', receivedBytes: 5, totalBytes: 10 },
  refused: { code: 'unsigned', message: 'the envelope carries no signature', at: 1, version: 5 },
  pods: [
    {
      name: 'web',
      uuid: '00000000-0000-8000-8000-000000000000',
      healthy: true,
      apps: [
        {
          name: 'nginx',
          imageId,
          state: 'active/running',
          pid: 17,
          restarts: 0,
          lastResult: 'success',
          oomKills: 0,
          memoryBytes: 1,
          memoryPeakBytes: 2,
          memoryMaxBytes: 3,
          cpuUsec: 4,
          tasks: 5,
        },
      ],
      isolators: [
        { app: 'nginx', name: 'resource/memory', outcome: 'enforced', detail: 'MemoryMax=64M' },
        { app: 'nginx', name: 'resource/cpu', outcome: 'enforced', detail: 'CPUQuota=50%' },
      ],
      network: { name: 'bridge', addresses: ['10.173.0.2', 'fd00::2'] },
    },
  ],
  capabilities: [{ name: 'erofs', available: true, detail: '' }],
  damaged: [{ imageId: 'sha512-ab', name: 'example.com/web', message: 'the stored object is missing' }],
});

describe('the messages of a device', () => {
  it('are decoded as they were encoded', () => {
    expect(decodeReport(encodeReport(fullReport))).toEqual(fullReport);
    expect(decodeEvent(encodeEvent(sampleEvent()))).toEqual(sampleEvent());
    const presence: Presence = { format: 1, bootId: 'b', connection: 1, up: true };
    expect(decodePresence(encodePresence(presence))).toEqual(presence);
  });

  it('[C55] name the step of an activation, and have a code exactly where something was refused', () => {
    const decoded = (deployment: unknown) =>
      decodeReport(encodeCbor({ ...fullReport, deployment })).deployment;
    const step = { version: 4, phase: 'activate', step: 'start app main of pod web' };
    const refused = { version: 4, phase: 'refused', code: 'no-space', message: 'the disk is full' };
    expect(decoded(step)).toEqual(step);
    expect(decoded(refused)).toEqual(refused);
    for (const wrong of [
      { version: 4, phase: 'refused' },
      { ...refused, message: undefined },
      { ...step, code: 'no-space' },
      { version: 4, phase: 'committed', code: 'no-space', message: '' },
    ]) {
      expect(() => decoded(wrong), JSON.stringify(wrong)).toThrow(/cannot be read/);
    }
    const { format, bootId, at, version } = sampleEvent();
    const answer = { format, bootId, at, version, outcome: 'refused' };
    expect(() => decodeEvent(encodeCbor(answer))).toThrow(/the key "code" is missing/);
  });

  it('stay below 4 KiB for a report of one pod', () => {
    expect(encodeReport(fullReport).length).toBeLessThan(4096);
  });

  it.each<[string, unknown]>([
    ['an unknown key', { ...fullReport, extra: 1 }],
    ['a missing key', { ...fullReport, seq: undefined }],
    ['another format', { ...fullReport, format: 2 }],
    ['a phase that does not exist', { ...fullReport, deployment: { version: 1, phase: 'flying' } }],
    ['an escape sequence for the terminal', { ...fullReport, wherry: '\u001b[2J' }],
    ['a pod whose UUID is none [A2.9]', { ...fullReport, pods: [{ ...fullReport.pods[0], uuid: 'web' }] }],
    [
      'more addresses than a pod can have',
      {
        ...fullReport,
        pods: [{ ...fullReport.pods[0], network: { name: 'lan', addresses: Array(17).fill('192.0.2.1') } }],
      },
    ],
    ['more pods than a desired state can have', { ...fullReport, pods: Array(65).fill(fullReport.pods[0]) }],
  ])('are refused by the operator with %s', (_name, value) => {
    expect(() => decodeReport(encodeCbor(value))).toThrow(/a device sent a report that cannot be read/);
  });

  it('are refused by the operator when they are larger than any device sends', () => {
    for (const decode of [decodePresence, decodeEvent])
      expect(() => decode(new Uint8Array(4097))).toThrow(/has 4097 bytes, more than 4096/);
    expect(() => decodeReport(new Uint8Array(65_537))).toThrow(/has 65537 bytes, more than 65536/);
  });
});

describe('topics', () => {
  it('[C240] have client identifiers of characters that every broker accepts', () => {
    expect(clientIdentifier('harbour', 'crane-7')).toBe('harbour_crane-7');
  });

  it('[C1] are composed of fleet and device, and parsed again', () => {
    const topics = deviceTopics('harbour', 'crane-7');
    expect(topics.desired).toBe('v1/harbour/d/crane-7/desired');
    expect(fleetFilter('harbour', 'live')).toBe('v1/harbour/d/+/live');
    for (const [kind, topic] of Object.entries<string>({ ...topics })) {
      expect(parseDeviceTopic(topic)).toEqual({ fleet: 'harbour', device: 'crane-7', kind });
    }
  });

  it.each(['', '+', '#', 'a/b', 'A', 'a--b', '-a', 'a'.repeat(65), 'a.b', 'a\n'])(
    'refuse the name %j',
    (name) => {
      expect(() => deviceTopics('harbour', name)).toThrow(/device name/);
      expect(() => deviceTopics(name, 'crane-7')).toThrow(/fleet name/);
    },
  );

  it.each(['v2/a/d/b/live', 'v1/a/d/b/live/x', 'v1/a/d/b/other', 'v1/a/x/b/live', 'v1/A/d/b/live', ''])(
    'are not recognised in %j',
    (topic) => {
      expect(parseDeviceTopic(topic)).toBeUndefined();
    },
  );
});

describe('presence', () => {
  const up = (bootId: string, connection: number): Presence => ({ format: 1, bootId, connection, up: true });
  const down = (bootId: string, connection: number): Presence => ({ ...up(bootId, connection), up: false });

  it.each<[string, Presence | undefined, Presence, boolean]>([
    ['the first message is believed', undefined, down('a', 1), false],
    ['the will of this connection marks the device as away', up('a', 2), down('a', 2), false],
    ['the late will of an earlier connection changes nothing', up('a', 2), down('a', 1), true],
    ['the late will of an earlier boot changes nothing', up('b', 1), down('a', 7), true],
    ['a new boot is believed', down('a', 7), up('b', 1), true],
  ])('%s', (_name, known, next, isUp) => {
    expect(foldPresence(known, next).up).toBe(isUp);
  });
});
