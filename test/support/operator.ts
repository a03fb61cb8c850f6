import { parseAcIdentifier, parseAcName, parseImageId } from '../../src/image/appc/identifiers.ts';
import { encodeDesiredState } from '../../src/wire/trust/desired-state-codec.ts';
import { encodeEnvelope } from '../../src/wire/trust/envelope.ts';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import { generateKey, signDetached, type GeneratedKey } from '../../src/wire/trust/sign.ts';

/** 1 June 2026, the current time of the operator in these tests. */
export const issued = Date.UTC(2026, 5, 1) / 1000;
export const day = 86_400;

/** A desired state with one pod of one image. */
export const desired: DesiredState = {
  format: 1,
  fleet: parseAcName('farm'),
  target: { device: parseAcName('pump-1') },
  version: 7,
  issued,
  expires: issued + 30 * day,
  pods: [{ name: parseAcName('web'), manifest: new TextEncoder().encode('{"acKind":"PodManifest"}') }],
  images: [
    {
      id: parseImageId(`sha512-${'0123456789abcdef'.repeat(8)}`),
      name: parseAcIdentifier('example.com/web'),
      labels: [{ name: parseAcIdentifier('arch'), value: 'aarch64' }],
      sizeBytes: 1000,
      tarSizeBytes: 4096,
      urls: ['https://images.example.com/web.aci'],
    },
  ],
  policy: { probationSeconds: 60, reconnectWindowSeconds: 30, limits: 'require' },
};

/** Keys that were generated a day before their use. */
export function makeKey(name: string): Promise<GeneratedKey> {
  return generateKey({ name, createdSeconds: issued - day });
}

/** The message that an operator publishes for `state`. */
export async function publish(state: DesiredState, ...keys: readonly GeneratedKey[]): Promise<Uint8Array> {
  const payload = encodeDesiredState(state);
  return encodeEnvelope({
    payload,
    signatures: await Promise.all(keys.map((key) => signDetached(payload, key.privateKey, issued))),
  });
}

/** `state` with one field replaced by a value that its type forbids. */
export function withField(state: DesiredState, path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(state) as unknown;
  let node = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) node = node[key] as Record<string | number, unknown>;
  const last = path.at(-1);
  if (last !== undefined) node[last] = value;
  return copy;
}
