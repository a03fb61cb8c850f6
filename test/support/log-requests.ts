import { parseAcName } from '../../src/image/appc/index.ts';
import { encodeEnvelope, encodeLogRequest, type LogRequest } from '../../src/wire/trust/index.ts';
import { signDetached, type GeneratedKey } from '../../src/wire/trust/sign.ts';
import { issued } from './operator.ts';

/** A request for ten minutes that the device pump-1 of the fleet farm answers. */
export const logRequest: LogRequest = {
  format: 1,
  ask: 'logs',
  fleet: parseAcName('farm'),
  device: parseAcName('pump-1'),
  boot: 'boot-a',
  issued,
  expires: issued + 600,
  pod: parseAcName('web'),
  limitBytes: 100_000,
};

/** The message that an operator publishes for `request`. */
export async function publishRequest(
  request: LogRequest,
  ...keys: readonly GeneratedKey[]
): Promise<Uint8Array> {
  const payload = encodeLogRequest(request);
  return encodeEnvelope({
    payload,
    signatures: await Promise.all(keys.map((key) => signDetached(payload, key.privateKey, request.issued))),
  });
}
