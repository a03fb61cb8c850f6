import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAcIdentifier, parseImageId } from '../../../../src/image/appc/identifiers.ts';
import { type Clock, systemClock } from '../../../../src/core/ports/index.ts';
import { examineInUnit } from '../../../../src/device/jobs/examine/examine-unit.ts';
import { encodePullProgress, pullFiles } from '../../../../src/device/jobs/pull/pull-job-codec.ts';
import { pullImage } from '../../../../src/device/jobs/pull/pull-unit.ts';
import { jobName } from '../../../../src/device/jobs/index.ts';
import type { PullJob } from '../../../../src/device/jobs/pull/pull-job.ts';
import { imageStore } from '../../../../src/device/store/image-store.ts';
import { nodeDisk } from '../../../../src/device/store/node-disk.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { until } from '../../../support/system-clock.ts';
import { OneUnit } from '../../../support/one-unit.ts';
import { encodeEncrypted } from '../../../../src/wire/trust/confidential.ts';
import { temporaryDirectory } from '../../../support/test-image.ts';

let root = '';
let remove: () => void;
beforeEach(() => {
  ({ path: root, remove } = temporaryDirectory());
  for (const name of ['objects', 'partial', 'run']) mkdirSync(join(root, name));
});
afterEach(() => remove());

const never = new AbortController().signal;
const disk = nodeDisk();
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const job: PullJob = {
  image: {
    id: parseImageId(`sha512-${'a'.repeat(128)}`),
    name: parseAcIdentifier('example.com/app'),
    labels: [],
    sizeBytes: 1000,
    tarSizeBytes: 1000,
    urls: ['http://images.example/app.aci'],
  },
  keys: [],
  architectures: ['aarch64'],
  limits: { maxTarBytes: 1e9, maxEntries: 10, maxRatio: 200, minBytesPerSecond: 1, maxBytesPerSecond: 0 },
  compression: 'none',
  time: { nowSeconds: 0, clockTrusted: false },
};
const home = (): string => join(root, 'partial', jobName(job.image.id));

/** Pulls, with `program` as the unit's program. */
function pulled(
  program: (memory: string) => unknown,
  more: { end?: string; clock?: Clock; onProgress?: (receivedBytes: number) => void } = {},
) {
  const { end = 'done', clock = systemClock, onProgress = () => undefined } = more;
  const systemd = new OneUnit(() => program(join(root, 'run/pull', jobName(job.image.id))));
  systemd.end = end;
  const store = imageStore(disk, join(root, 'objects'), { owner });
  const places = { partial: join(root, 'partial'), run: join(root, 'run') };
  return pullImage(job, { systemd, store, places, disk, clock, owner }, onProgress, never);
}

describe('a unit that is killed before it leaves a verdict', () => {
  it.each(['signal', 'oom-kill', 'timeout'])('makes a pull report the end: %s', async (end) => {
    const half = () => writeFileSync(join(home(), 'image.aci'), 'half');
    await expect(pulled(half, { end })).rejects.toMatchObject({
      code: 'internal',
      message: `the pull of example.com/app ended without a result (${end})`,
    });
    // The next try continues from there.
    expect(readdirSync(home())).toContain('image.aci');
  });

  const context = {
    ...{ keys: [], fleet: 'harbour', device: 'crane-7', time: { nowSeconds: 0, clockTrusted: false } },
    trusted: { version: 0, payloadSha256: '', issued: 0 },
  };

  it('makes an examination report the end', async () => {
    const systemd = new OneUnit();
    systemd.end = 'oom-kill';
    const ports = {
      ...{ systemd, disk, run: join(root, 'run'), owner },
      ...{ seal: () => Promise.resolve(), deviceKey: join(root, 'device-key.cred') },
    };
    await expect(examineInUnit(Buffer.from('message'), context, ports, never)).rejects.toMatchObject({
      code: 'internal',
      message: 'the examination of the message ended without a result (oom-kill)',
    });
    expect(readdirSync(join(root, 'run'))).toEqual([]);
  });

  it.each([
    ['a plain message', false, 'sealed', undefined, 'internal'],
    ['an encrypted message', true, undefined, undefined, 'internal'],
    ['an encrypted message', true, 'sealed', 'sealed', 'device-key-missing'],
    ['an encrypted message', true, '', '', 'device-key-missing'],
    ['an encrypted message', true, 'in a directory', '', 'device-key-missing'],
  ] as const)(
    'gives the examination of %s the key (%s, %j) as %j [C313]',
    async (_, isEncrypted, key, passed, code) => {
      const deviceKey = join(root, 'device-key.cred');
      if (key === 'in a directory') mkdirSync(deviceKey);
      else if (key !== undefined) writeFileSync(deviceKey, key);
      const place = join(root, 'run/examine/device-key.cred');
      let seen: string | undefined;
      const systemd = new OneUnit(() => (seen = existsSync(place) ? readFileSync(place, 'utf8') : undefined));
      systemd.end = 'credentials'; // as with a damaged key
      const ports = {
        systemd,
        disk,
        run: join(root, 'run'),
        owner,
        seal: () => Promise.resolve(),
        deviceKey,
      };
      const message = isEncrypted ? encodeEncrypted(Buffer.from('x')) : Buffer.from('message');
      await expect(examineInUnit(message, context, ports, never)).rejects.toMatchObject({ code });
      expect(seen).toBe(passed);
    },
  );
});

describe('a pull that was refused', () => {
  it.each([
    ['download-failed', ['image.aci', 'job.cbor', 'result.cbor']],
    ['image-signature-invalid', []],
  ] as const)('keeps its download only where the next try can resume it: %s', async (code, left) => {
    const program = () => {
      writeFileSync(join(home(), 'image.aci'), 'half');
      writeFileSync(
        join(home(), 'result.cbor'),
        pullFiles.encodeResult({ ok: false, code, message: 'gone' }),
      );
    };
    await expect(pulled(program)).rejects.toMatchObject({ code, message: 'gone' });
    expect(existsSync(home()) ? readdirSync(home()).sort() : []).toEqual(left);
  });
});

it('a pull that made another image than the commanded one is refused', async () => {
  const imageId = parseImageId(`sha512-${'b'.repeat(128)}`);
  const program = () => {
    writeFileSync(join(home(), 'object.erofs'), 'object');
    const sizes = { objectSizeBytes: 6, objectSha256: '0'.repeat(64), downloadedBytes: 6 };
    const result = { ok: true, imageId, manifest: Buffer.from('{}'), ...sizes, signedBy: 'a' } as const;
    writeFileSync(join(home(), 'result.cbor'), pullFiles.encodeResult(result));
  };
  await expect(pulled(program)).rejects.toMatchObject({ code: 'image-id-mismatch' });
  expect(readdirSync(join(root, 'objects'))).toEqual([]);
});

it('the progress of a pull is reported as the unit writes it, and skipped when unreadable', async () => {
  const clock = new FakeClock();
  const told: number[] = [];
  const leave = async (memory: string, bytes: Uint8Array, looks: number) => {
    writeFileSync(join(memory, 'progress.cbor'), bytes);
    await clock.pass(5000);
    await until(() => clock.delays.length === looks);
  };
  const program = async (memory: string) => {
    await until(() => clock.delays.length === 1);
    await leave(memory, Buffer.from('junk'), 2);
    await leave(memory, encodePullProgress({ receivedBytes: 500, totalBytes: 1000 }), 3);
  };
  await expect(pulled(program, { clock, onProgress: (bytes) => told.push(bytes) })).rejects.toThrow();
  expect(told).toEqual([500]);
});
