import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAcIdentifier, parseImageId } from '../../../../src/image/appc/identifiers.ts';
import { systemClock } from '../../../../src/core/ports/index.ts';
import { examineInUnit } from '../../../../src/device/jobs/examine/examine-unit.ts';
import { pullImage } from '../../../../src/device/jobs/pull/pull-unit.ts';
import { jobName, type PullJob } from '../../../../src/device/jobs/pull/pull-job.ts';
import { imageStore } from '../../../../src/device/store/image-store.ts';
import { nodeDisk } from '../../../../src/device/store/node-disk.ts';
import type { Systemd } from '../../../../src/device/systemd/systemd.ts';
import { temporaryDirectory } from '../../../support/test-image.ts';

let root = '';
let remove: () => void;
beforeEach(() => {
  ({ path: root, remove } = temporaryDirectory());
  for (const name of ['objects', 'partial', 'run']) mkdirSync(join(root, name));
});
afterEach(() => remove());

/** A systemd whose services do something, are killed, and are forgotten as soon as that has happened. */
function killing(end: string, before: () => void = () => undefined): Systemd {
  const systemd: Partial<Systemd> = {
    resetFailed: () => Promise.resolve(),
    run: () => {
      before();
      return Promise.resolve(end);
    },
    stop: () => Promise.resolve('done'),
  };
  return systemd as Systemd;
}

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

describe('a unit that is killed before it has come to a verdict', () => {
  it.each(['signal', 'oom-kill', 'timeout'])('makes a pull say so: %s', async (end) => {
    const pulled = pullImage(
      job,
      {
        systemd: killing(end, () => writeFileSync(join(home(), 'image.aci'), 'half')),
        store: imageStore(disk, join(root, 'objects'), { owner }),
        places: { partial: join(root, 'partial'), run: join(root, 'run') },
        ...{ disk, clock: systemClock, owner },
      },
      () => undefined,
      never,
    );
    await expect(pulled).rejects.toMatchObject({
      code: 'internal',
      message: `the pull of example.com/app ended without a verdict (${end})`,
    });
    // The next try goes on from there.
    expect(readdirSync(home())).toContain('image.aci');
  });

  it('makes an examination say so', async () => {
    const context = {
      ...{ keys: [], fleet: 'harbour', device: 'crane-7', time: { nowSeconds: 0, clockTrusted: false } },
      trusted: { version: 0, payloadSha256: '', issued: 0 },
    };
    const examined = examineInUnit(
      Buffer.from('message'),
      context,
      { systemd: killing('oom-kill'), disk, run: join(root, 'run'), owner },
      never,
    );
    await expect(examined).rejects.toMatchObject({
      code: 'internal',
      message: 'the message was examined without a verdict (oom-kill)',
    });
  });
});
