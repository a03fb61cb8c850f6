import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeCbor, type CborValue } from '../../../src/core/cbor/index.ts';
import { telemetryOf } from '../../../src/device/agent/readings.ts';
import { encodeBundle } from '../../../src/wire/enrolment/index.ts';
import {
  encodeEvent,
  encodeLogAnswer,
  encodePresence,
  encodeReport,
  encodeTelemetry,
} from '../../../src/wire/report/index.ts';
import { encodeConfidential } from '../../../src/wire/trust/confidential.ts';
import { decodeEnvelope, encodeLogRequest } from '../../../src/wire/trust/index.ts';
import { encryptMessage, generateDeviceKey, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { Cddl } from '../../support/cddl.ts';
import { logRequest } from '../../support/log-requests.ts';
import { desired, makeKey, publish } from '../../support/operator.ts';
import { publishRoot, role, rootOf } from '../../support/roots.ts';
import { fullReports, sampleEvent } from '../../support/sample-messages.ts';
import { sampleReadings } from '../../support/sample-readings.ts';

const cddl = new Cddl(join(import.meta.dirname, '../../../docs/wire.cddl'));
const read = (bytes: Uint8Array): CborValue => decodeCbor(bytes, { maxBytes: 1 << 17, maxDepth: 8 });
const check = (rule: string, bytes: Uint8Array): readonly string[] => cddl.check(rule, read(bytes));
const fits: readonly string[] = [];

describe('docs/wire.cddl [C80]', () => {
  let key: GeneratedKey;
  beforeAll(async () => {
    key = await makeKey('one');
  });

  it('describes a real root', async () => {
    const images = { images: role(1, key), 'images/example.com': role(1, key) };
    const message = await publishRoot(
      rootOf({ root: role(1, key), deploy: role(1, key), ...images }, [key]),
      key,
    );
    expect(check('envelope', message)).toEqual(fits);
    expect(check('root', decodeEnvelope(message).payload)).toEqual(fits);
  });

  it('describes real desired states', async () => {
    const [image] = desired.images;
    if (image === undefined) throw new Error('the desired state has no image');
    const secrets = [{ name: desired.fleet, digest: 'a'.repeat(64) }];
    const windows = [{ cron: '0 2 * * *', durationSeconds: 60, timeZone: 'UTC' }];
    const activation = { when: 'window' as const, windows, force: true as const };
    const policy = { ...desired.policy, activation, brokerLoss: 'ignore' as const };
    const share = { from: 0, to: 6554, salt: desired.fleet };
    const canaries = { group: desired.fleet, share };
    const whole = { ...desired, images: [{ ...image, renderedBytes: 1 }], secrets, policy };
    expect(
      check('desired-state', decodeEnvelope(await publish({ ...whole, target: canaries }, key)).payload),
    ).toEqual(fits);
    expect(check('desired-state', decodeEnvelope(await publish(whole, key)).payload)).toEqual(fits);
    const target = { group: desired.fleet };
    const taken = await publish({ ...desired, target, pods: [], images: [], withdrawn: true }, key);
    expect(check('desired-state', decodeEnvelope(taken).payload)).toEqual(fits);
  });

  it('[C190] describes real telemetry', () => {
    const busy = sampleReadings({
      ...{ monotonicMs: 60_000, stat: 'cpu  2000 0 500 9000 500 0 0 0 0 0\n' },
      apps: sampleReadings().apps.map((app) => ({ ...app, cpuUsec: 2_000_000 })),
    });
    expect(check('telemetry', encodeTelemetry(telemetryOf(sampleReadings(), busy)))).toEqual(fits);
  });

  it('describes a real enrolment bundle [C179]', () => {
    const files = new Map([['/etc/wherry/wherry.toml', new Uint8Array()] as const]);
    const message = encodeBundle({ fleet: desired.fleet, device: 'pump-1', files });
    expect(check('enrolment-bundle', message)).toEqual(fits);
  });

  it('describes a real encrypted message', async () => {
    const device = await generateDeviceKey('device');
    const { payload, signatures } = decodeEnvelope(await publish(desired, key));
    const secret = { name: desired.fleet, salt: new Uint8Array(32), value: new Uint8Array(1) };
    const content = { payload, signatures, secrets: [secret] };
    expect(check('encrypted-envelope', await encryptMessage(content, [device.publicKey]))).toEqual(fits);
    expect(check('confidential', encodeConfidential(content))).toEqual(fits);
  });

  it('[C230] describes real reports, events and presence', () => {
    for (const report of fullReports) expect(check('report', encodeReport(report))).toEqual(fits);
    const failed = { outcome: 'refused', code: 'expired', message: 'too late', group: 'north' } as const;
    for (const event of [sampleEvent(), sampleEvent({ group: 'north' }), sampleEvent(failed)])
      expect(check('event', encodeEvent(event))).toEqual(fits);
    const presence = { format: 1, bootId: 'boot-a', connection: 1, up: true } as const;
    expect(check('presence', encodePresence(presence))).toEqual(fits);
  });

  it('[C231] describes real requests for logs, and answers', () => {
    const choice = { app: logRequest.pod, since: 1, lines: 1, follow: true } as const;
    expect(check('log-request', encodeLogRequest({ ...logRequest, ...choice }))).toEqual(fits);
    const part = { format: 1, request: 'a'.repeat(64), seq: 0 } as const;
    expect(check('log-answer', encodeLogAnswer({ ...part, text: Buffer.from('line') }))).toEqual(fits);
    const counts = { sentBytes: 4, leftOutBytes: 0, code: 'expired', message: 'too late' };
    expect(check('log-answer', encodeLogAnswer({ ...part, end: 'refused', ...counts }))).toEqual(fits);
  });

  it('[C230] has no rule and no member that none of these messages has', () => {
    expect(cddl.unmet).toEqual([]);
  });

  it.each([
    ['an unknown key', { format: 1, bootId: 'b', connection: 1, up: true, more: 1 }, 'presence/more'],
    ['a missing key', { format: 1, bootId: 'b', connection: 1 }, 'presence: has 0 of up'],
    ['a number out of range', { format: 1, bootId: 'b', connection: 0, up: true }, 'presence/connection'],
    [
      'a text that is too long',
      { format: 1, bootId: 'b'.repeat(257), connection: 1, up: true },
      'presence/bootId',
    ],
    ['another type', { format: 1, bootId: 'b', connection: 1, up: 'true' }, 'presence/up'],
  ])('shows %s', (_what, value, where) => {
    expect(cddl.check('presence', value as unknown as CborValue).join()).toContain(where);
  });
});
