import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeCbor, type CborValue } from '../../../src/core/cbor/index.ts';
import { decodeEnvelope } from '../../../src/wire/trust/index.ts';
import { encodeBundle } from '../../../src/wire/enrolment/index.ts';
import { encodeConfidential } from '../../../src/wire/trust/confidential.ts';
import { encryptMessage, generateDeviceKey, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { desired, makeKey, publish } from '../../support/operator.ts';
import { telemetryOf } from '../../../src/device/agent/readings.ts';
import { encodeTelemetry } from '../../../src/wire/report/index.ts';
import { sampleReadings } from '../../support/sample-readings.ts';
import { publishRoot, role, rootOf } from '../../support/roots.ts';

/** The keys that the rules of docs/wire.cddl name, those of maps within included, by rule. */
const rules = new Map(
  readFileSync(join(import.meta.dirname, '../../../docs/wire.cddl'), 'utf8')
    .replaceAll(/;.*$/gm, '')
    .split(/\n(?=[a-z-]+ = )/)
    .map((rule) => {
      const [, name = '', body = ''] = /^\s*([a-z-]+) = ([^]*)$/.exec(rule) ?? [];
      return [name, [...body.matchAll(/([A-Za-z0-9]+):/g)].map(([, key = '']) => key)] as const;
    }),
);

/** Every key of the maps in `value`; `free` ones have keys that the sender chooses. */
function keysIn(value: CborValue, free: readonly string[], name = ''): string[] {
  if (Array.isArray(value)) return (value as readonly CborValue[]).flatMap((one) => keysIn(one, free));
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return [];
  return Object.entries(value as Record<string, CborValue>).flatMap(([key, member]) => [
    ...(free.includes(name) ? [] : [key]),
    ...keysIn(member, free, key),
  ]);
}

const sorted = (names: readonly string[]): string[] => [...new Set(names)].sort();
const keysOf = (...names: readonly string[]): string[] =>
  sorted(names.flatMap((name) => rules.get(name) ?? []));
const read = (bytes: Uint8Array): CborValue => decodeCbor(bytes, { maxBytes: 1 << 17, maxDepth: 8 });

describe('docs/wire.cddl [C80]', () => {
  let key: GeneratedKey;
  beforeAll(async () => {
    key = await makeKey('one');
  });

  it('names the keys of a real root', async () => {
    const roles = { root: role(1, key), deploy: role(1, key), images: role(1, key) };
    const message = await publishRoot(rootOf(roles, [key]), key);
    expect(sorted(keysIn(read(message), []))).toEqual(keysOf('envelope'));
    const keys = sorted(keysIn(read(decodeEnvelope(message).payload), ['keys']));
    // The signed document has keys of its own under `keys`, which are fingerprints; in a role,
    // `keys` is a list.
    expect(keys).toEqual(keysOf('root', 'role'));
  });

  it('names the keys of a real desired state', async () => {
    const [image] = desired.images;
    if (image === undefined) throw new Error('the desired state has no image');
    const secrets = [{ name: desired.fleet, digest: 'a'.repeat(64) }];
    const windows = [{ cron: '0 2 * * *', durationSeconds: 60, timeZone: 'UTC' }];
    const activation = { when: 'window' as const, windows, force: true as const };
    const policy = { ...desired.policy, activation, brokerLoss: 'ignore' as const };
    const whole = { ...desired, images: [{ ...image, renderedBytes: 1 }], secrets, policy };
    const { payload } = decodeEnvelope(await publish(whole, key));
    const target = { group: desired.fleet };
    const taken = await publish({ ...desired, target, pods: [], images: [], withdrawn: true }, key);
    const withdrawal = keysIn(read(decodeEnvelope(taken).payload), []);
    expect(sorted([...keysIn(read(payload), []), ...withdrawal])).toEqual(
      keysOf('desired-state', 'pod', 'image', 'secret-name', 'activation', 'window'),
    );
  });

  it('[C190] names the keys of real telemetry', () => {
    const busy = sampleReadings({
      ...{ monotonicMs: 60_000, stat: 'cpu  2000 0 500 9000 500 0 0 0 0 0\n' },
      apps: sampleReadings().apps.map((app) => ({ ...app, cpuUsec: 2_000_000 })),
    });
    const bytes = encodeTelemetry(telemetryOf(sampleReadings(), busy));
    const numbers = ['telemetry', 'device-numbers', 'app-numbers'];
    expect(sorted(keysIn(read(bytes), []))).toEqual(keysOf(...numbers));
  });

  it('names the keys of a real enrolment bundle [C179]', () => {
    const files = new Map([['/etc/wherry/wherry.toml', new Uint8Array()] as const]);
    const message = encodeBundle({ fleet: desired.fleet, device: 'pump-1', files });
    expect(sorted(keysIn(read(message), []))).toEqual(keysOf('enrolment-bundle'));
  });

  it('names the keys of a real encrypted message', async () => {
    const device = await generateDeviceKey('device');
    const { payload, signatures } = decodeEnvelope(await publish(desired, key));
    const secret = { name: desired.fleet, salt: new Uint8Array(32), value: new Uint8Array(1) };
    const content = { payload, signatures, secrets: [secret] };
    const message = await encryptMessage(content, [device.publicKey]);
    expect(sorted(keysIn(read(message), []))).toEqual(keysOf('encrypted-envelope'));
    const plaintext = encodeConfidential(content);
    expect(sorted(keysIn(read(plaintext), []))).toEqual(keysOf('confidential', 'secret'));
  });
});
