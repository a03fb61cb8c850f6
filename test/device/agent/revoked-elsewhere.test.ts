import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { examineFiles } from '../../../src/device/jobs/examine/examine-files.ts';
import { trustFiles } from '../../../src/device/agent/trust-files.ts';
import { pullFiles } from '../../../src/device/jobs/pull/pull-job-codec.ts';
import { examineMessage, signatureVerifier } from '../../../src/wire/trust/openpgp.ts';
import { encodeDesiredState, encodeEnvelope } from '../../../src/wire/trust/index.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';
import { desired, issued } from '../../support/operator.ts';

let gpg: GnuPg;
let directory: string;
beforeAll(() => {
  gpg = openGnuPg();
  directory = mkdtempSync(join(tmpdir(), 'wherry-revoked-'));
});
afterAll(() => {
  gpg.close();
  rmSync(directory, { recursive: true });
});

it('[A9.23] a key that is revoked in one store is not valid through an old copy in another', async () => {
  const key = gpg.newKey('fleet', 'ed25519', { at: '20260101T000000' });
  const put = (path: string): void => {
    mkdirSync(join(directory, path, '..'), { recursive: true });
    writeFileSync(join(directory, path), gpg.export(key));
  };
  put('local/deploy/fleet.asc');
  put('local/images/root.d/fleet.asc');
  const payload = encodeDesiredState(desired);
  const signature = gpg.sign(payload, key, '--faked-system-time', '20260601T000000!');
  const message = encodeEnvelope({ payload, signatures: [signature] });
  const files = trustFiles({ local: join(directory, 'local'), system: join(directory, 'system') });

  const command = async (): Promise<unknown> => {
    const context = {
      keys: files.deployKeys(),
      copies: files.copies(),
      fleet: 'farm',
      device: 'pump-1',
      trusted: { version: 0, payloadSha256: '', issued: 0 },
      time: { nowSeconds: issued + 60, clockTrusted: false },
    };
    const request = examineFiles.decodeJob(examineFiles.encodeJob({ message, context }));
    if (!('context' in request)) throw new Error('it is no request about a command');
    return await examineMessage(request.message, request.context);
  };
  const image = async (): Promise<unknown> => {
    const [first] = desired.images;
    if (first === undefined) throw new Error('the desired state has no image');
    const job = pullFiles.decodeJob(
      pullFiles.encodeJob({
        image: first,
        keys: files.imageKeys().map(({ armored }) => armored),
        copies: files.copies(),
        architectures: ['aarch64'],
        limits: { maxTarBytes: 1, maxEntries: 1, maxRatio: 1, minBytesPerSecond: 0, maxBytesPerSecond: 0 },
        compression: 'none',
        time: { nowSeconds: issued + 60, clockTrusted: false },
      }),
    );
    const verifier = await signatureVerifier(signature, job.keys, job.time, job.copies);
    verifier.update(payload);
    return await verifier.finish();
  };

  await expect(command()).resolves.toMatchObject({ outcome: 'new' });
  await expect(image()).resolves.toMatchObject({ fingerprint: key.toLowerCase() });
  gpg.revoke(key);
  put('system/images/prefix.d/example.com/vendor.asc');
  await expect(command()).rejects.toMatchObject({ code: 'key-unusable' });
  await expect(image()).rejects.toMatchObject({ code: 'key-unusable' });
});
