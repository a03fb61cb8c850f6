import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultArchiveLimits } from '../../../../src/image/tar/limits.ts';
import { readArchive } from '../../../../src/image/aci/read-archive.ts';
import { renderImage } from '../../../../src/operator/build/render.ts';
import { jobName } from '../../../../src/device/jobs/index.ts';
import type { Rendering } from '../../../../src/device/jobs/render/rendering.ts';
import { type Rendered, renderFiles } from '../../../../src/device/jobs/render/render-job.ts';
import { renderInUnit, type RenderPorts } from '../../../../src/device/jobs/render/render-unit.ts';
import { imageStore } from '../../../../src/device/store/image-store.ts';
import { nodeDisk } from '../../../../src/device/store/node-disk.ts';
import { collect, mountedImage, type TestImage } from '../../../support/mounted-images.ts';
import { file, rootfs } from '../../../support/raw-tar.ts';
import { OneUnit } from '../../../support/one-unit.ts';
import { fakeBuilder, temporaryDirectory } from '../../../support/test-image.ts';
import { type ProgramEnd, runUnitProgram } from '../../../support/unit-program.ts';

let root = '';
let remove: () => void;
let top: TestImage;
let base: TestImage;
beforeEach(async () => {
  ({ path: root, remove } = temporaryDirectory());
  mkdirSync(join(root, 'run'));
  const on = { dependencies: [{ imageName: 'example.com/base' }], pathWhitelist: ['/keep', '/own'] };
  base = await mountedImage(join(root, 'run'), { name: 'example.com/base' }, [
    rootfs,
    file('rootfs/keep', 'kept'),
    file('rootfs/drop', 'dropped'),
  ]);
  top = await mountedImage(join(root, 'run'), { name: 'example.com/top', ...on }, [
    rootfs,
    file('rootfs/own'),
  ]);
});
afterEach(() => remove());

const id = `rendered-${'a'.repeat(64)}` as const;
const limits = { maxTarBytes: 1e9, maxEntries: 1000 };

const rendering = (): Rendering => ({
  ...{ id, name: 'example.com/top', sizeBytes: 0, tarSizeBytes: 1, impliesDirectories: [] },
  steps: [
    { image: base.id, above: [top.id] },
    { image: top.id, above: [] },
  ],
  imageIds: [base.id, top.id],
});

/** Runs the program as its unit does. */
function wherryRender(job: string, builder?: string): Promise<ProgramEnd> {
  return runUnitProgram(root, 'render', job, {
    environment: builder === undefined ? {} : { WHERRY_MKFS_EROFS: builder },
  });
}

/** A systemd that runs the program when its unit is started. */
const programUnit = (): OneUnit =>
  new OneUnit((unit) => wherryRender(/^wherry-render@([0-9a-f]{32})\.service$/.exec(unit)?.[1] ?? ''));

function ports(systemd: OneUnit): RenderPorts {
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const disk = nodeDisk();
  mkdirSync(join(root, 'objects'), { recursive: true });
  mkdirSync(join(root, 'partial'), { recursive: true });
  return {
    ...{ systemd, disk, owner, limits, compression: 'none', partial: join(root, 'partial') },
    store: imageStore(disk, join(root, 'objects'), { owner }),
  };
}

const never = new AbortController().signal;

describe('a tree that is rendered in its unit', () => {
  it('becomes the same object as a pull of the rendered image, under its own name', async () => {
    const systemd = programUnit();
    const tree = await renderInUnit(rendering(), ports(systemd), never);
    const object = readFileSync(join(root, 'objects', `${id}.erofs`));
    expect(tree).toEqual({
      ...{ id, name: 'example.com/top', imageIds: [base.id, top.id], sizeBytes: object.length },
      sha256: createHash('sha256').update(object).digest('hex'),
    });
    const output = join(root, 'rendered.aci');
    await renderImage({ image: top, among: [base], output, compression: 'none' });
    const canonicalTar = new PassThrough();
    const collected = collect(canonicalTar);
    await readArchive(createReadStream(output), { limits: defaultArchiveLimits, canonicalTar });
    expect(object.includes(await collected)).toBe(true); // the stand-in for mkfs.erofs keeps the tar
    expect(object.includes('kept')).toBe(true);
    expect(object.includes('dropped')).toBe(false);
    expect(readdirSync(join(root, 'partial'))).toEqual([]);
    const unit = `wherry-render@${jobName(id)}.service`;
    expect(systemd.calls).toEqual([`stop ${unit}`, `reset ${unit}`, `run ${unit}`, `stop ${unit}`]);
  });

  it('is started again after an interruption', async () => {
    const home = join(root, 'partial', jobName(id));
    const all = ports(programUnit());
    mkdirSync(home);
    writeFileSync(
      join(home, 'result.cbor'),
      renderFiles.encodeResult({ ok: false, code: 'internal', message: 'old' }),
    );
    writeFileSync(join(home, 'object.erofs'), 'half');
    expect(await renderInUnit(rendering(), all, never)).toMatchObject({ id });
  });

  it('is refused with the finding of the unit, and leaves nothing', async () => {
    rmSync(join(base.directory, 'rootfs'), { recursive: true });
    const refused = renderInUnit(rendering(), ports(programUnit()), never);
    await expect(refused).rejects.toMatchObject({
      code: 'image-corrupt',
      message: expect.stringMatching(/^example\.com\/top: /) as string,
    });
    expect(readdirSync(join(root, 'partial'))).toEqual([]);
    expect(readdirSync(join(root, 'objects'))).toEqual([]);
  });

  it('is refused when the unit ends without a result or with a wrong one', async () => {
    const systemd = new OneUnit();
    systemd.end = 'signal';
    await expect(renderInUnit(rendering(), ports(systemd), never)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/without a result \(signal\)/) as string,
    });
    systemd.program = () => {
      const home = join(root, 'partial', jobName(id));
      const result: Rendered = { ok: true, objectSizeBytes: 4096, objectSha256: 'a'.repeat(64) };
      writeFileSync(join(home, 'result.cbor'), renderFiles.encodeResult(result));
      writeFileSync(join(home, 'object.erofs'), Buffer.alloc(4096));
    };
    await expect(renderInUnit(rendering(), ports(systemd), never)).rejects.toMatchObject({
      code: 'image-build-failed',
    });
  });
});

describe('wherry-render', () => {
  it('reports why the builder failed', async () => {
    const home = join(root, 'partial', 'b'.repeat(32));
    mkdirSync(home, { recursive: true });
    const { steps, impliesDirectories } = rendering();
    const job = renderFiles.encodeJob({ steps, impliesDirectories, limits, compression: 'none' });
    writeFileSync(join(home, 'job.cbor'), job);
    const full = fakeBuilder(
      join(root, 'full'),
      "console.error('<E> No space left on device'); process.exit(1);",
    );
    expect(await wherryRender('b'.repeat(32), full)).toMatchObject({ status: 0 });
    const result = renderFiles.decodeResult(readFileSync(join(home, 'result.cbor')));
    expect(result).toMatchObject({ ok: false, code: 'no-space' });
  });

  it.each(['../job', '', 'c'.repeat(32)])('fails when there is no job %j', async (job) => {
    expect(await wherryRender(job)).toMatchObject({ status: 1 });
  });
});

describe('the files between wherryd and the rendering unit', () => {
  it('can be read back', () => {
    const { steps, impliesDirectories } = rendering();
    const job = { steps, impliesDirectories, limits, compression: 'lz4' as const };
    expect(renderFiles.decodeJob(renderFiles.encodeJob(job))).toEqual(job);
    const result: Rendered = { ok: true, objectSizeBytes: 1, objectSha256: '0'.repeat(64) };
    expect(renderFiles.decodeResult(renderFiles.encodeResult(result))).toEqual(result);
  });

  it('hold the largest tree that may be rendered', () => {
    const image = top.id;
    const steps = Array.from({ length: 128 }, () => ({
      image,
      above: Array.from({ length: 15 }, () => image),
    }));
    const job = { steps, impliesDirectories: [], limits, compression: 'none' as const };
    expect(renderFiles.decodeJob(renderFiles.encodeJob(job))).toEqual(job);
  });

  it('are refused when they are damaged', () => {
    expect(() => renderFiles.decodeResult(Buffer.from('junk'))).toThrow(/cannot be read/);
    const forged = { ok: true, objectSizeBytes: 1, objectSha256: 'x' } as const;
    expect(() => renderFiles.decodeResult(renderFiles.encodeResult(forged))).toThrow(/hex digits/);
  });
});
