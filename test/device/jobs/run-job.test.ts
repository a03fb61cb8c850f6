import { beforeEach, describe, expect, it } from 'vitest';
import { encodeCbor, integer, map, oneOf } from '../../../src/core/cbor/index.ts';
import { jobFiles } from '../../../src/device/jobs/job-files.ts';
import { runJob } from '../../../src/device/jobs/run-job.ts';
import { OneUnit } from '../../support/one-unit.ts';
import { CrashingDisk } from '../store/crashing-disk.ts';

const files = jobFiles({
  what: 'addition',
  job: map({ left: integer(0), right: integer(0) }),
  done: map({ ok: oneOf(true), sum: integer(0) }),
  maxBytes: 4096,
});
const unit = 'wherry-add@1.service';
const directory = '/partial/1';
const result = `${directory}/result.cbor`;
const owner = { uid: 65_534, gid: 65_534 };
const never = new AbortController().signal;

let disk: CrashingDisk;
beforeEach(() => {
  disk = new CrashingDisk();
});

/** Runs the addition of 2 and 3, with `program` as the unit's program. */
const run = (program: () => unknown, more: { resumes?: true; signal?: AbortSignal; end?: string } = {}) => {
  const { signal = never, end = 'done', ...resumes } = more;
  const systemd = new OneUnit(program);
  systemd.end = end;
  const job = { unit, directory, job: { left: 2, right: 3 }, what: 'addition of 2 and 3', ...resumes };
  return { systemd, ended: runJob(files, job, { systemd, disk, owner }, signal) };
};
const leaves = (value: unknown) => () => disk.write(result, encodeCbor(value));

describe('a job for a unit', () => {
  it('is a file that only the unit may read, and returns the result of the unit', async () => {
    const { ended, systemd } = run(async () => {
      const file = await disk.read(`${directory}/job.cbor`, 4096);
      const { left, right } = files.decodeJob(file ?? new Uint8Array());
      expect(await disk.look(`${directory}/job.cbor`)).toMatchObject({ owner, mode: 0o400 });
      await disk.write(result, files.encodeResult({ ok: true, sum: left + right }));
    });
    expect(await ended).toEqual({ ok: true, sum: 5 });
    expect(systemd.calls.at(-1)).toBe(`stop ${unit}`);
  });

  it('never reaches a unit that an earlier wherryd left running with an older job', async () => {
    const found: string[][] = [];
    const { ended, systemd } = run(() => found.push([...systemd.calls]));
    await expect(ended).rejects.toMatchObject({ code: 'internal' });
    expect(found).toEqual([[`stop ${unit}`, `reset ${unit}`, `run ${unit}`]]);
  });

  it.each([
    { resumes: {}, left: [] },
    { resumes: { resumes: true as const }, left: [`${directory}/download`] },
  ])('finds of earlier runs only a download that it resumes: $left', async ({ resumes, left }) => {
    disk.put(`${directory}/download`, Buffer.from('half'));
    disk.put(result, files.encodeResult({ ok: true, sum: 9 }));
    let found: string[] = [];
    const { ended } = run(() => (found = disk.paths()), resumes);
    await expect(ended).rejects.toThrow(/without a result/);
    expect(found.filter((path) => !path.endsWith('/job.cbor'))).toEqual(left);
  });

  it.each(['signal', 'oom-kill', 'timeout'])('is refused when the unit left nothing: %s', async (end) => {
    const { ended } = run(() => undefined, { end });
    await expect(ended).rejects.toMatchObject({
      code: 'internal',
      message: `the addition of 2 and 3 ended without a result (${end})`,
    });
  });

  it('is refused when the result is larger than it may be', async () => {
    const { ended } = run(() => disk.write(result, new Uint8Array(4097)));
    await expect(ended).rejects.toThrow(/without a result/);
  });

  it('fails with the reason of the abort after the unit was stopped', async () => {
    const stop = new AbortController();
    const { ended, systemd } = run(
      async () => {
        await leaves({ ok: true, sum: 5 })();
        stop.abort(new Error('newer'));
      },
      { signal: stop.signal },
    );
    await expect(ended).rejects.toThrow('newer');
    expect(systemd.calls.at(-1)).toBe(`stop ${unit}`);
  });

  it('also stops the unit if systemd does not report how it ended', async () => {
    const { ended, systemd } = run(() => Promise.reject(new Error('connection lost')));
    await expect(ended).rejects.toThrow('connection lost');
    expect(systemd.calls.at(-1)).toBe(`stop ${unit}`);
  });
});

describe('the result of a unit', () => {
  it.each([
    ['no-space', 'no-space'],
    ['invented', 'internal'],
    ['toString', 'internal'],
  ])('has a code of the closed list: %s is %s', async (code, known) => {
    const { ended } = run(leaves({ ok: false, code, message: 'full' }));
    expect(await ended).toEqual({ ok: false, code: known, message: 'full' });
  });

  it.each([
    { ok: true },
    { ok: true, sum: 5, more: 1 },
    { ok: false, code: 'no-space' },
    { ok: false, code: 'no-space', message: 'full', sum: 5 },
    'sum',
    null,
  ])('is refused when it has other fields: %j', async (value) => {
    await expect(run(leaves(value)).ended).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/^the addition result cannot be read: /) as string,
    });
  });

  it('has a message that a report can hold', () => {
    const file = files.encodeResult({ ok: false, code: 'internal', message: 'x'.repeat(5000) });
    expect(files.decodeResult(file)).toMatchObject({ message: 'x'.repeat(1000) });
  });
});
