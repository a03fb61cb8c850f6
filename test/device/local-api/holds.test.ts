import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { whyWait } from '../../../src/device/deploy/index.ts';
import { approvalPath, readLocks } from '../../../src/device/host/index.ts';
import { addLock, approve, removeLock } from '../../../src/device/local-api/index.ts';
import type { DeviceReport } from '../../../src/wire/report/index.ts';

let root: string;
const places = () => ({
  run: join(root, 'run'),
  state: join(root, 'state'),
  record: join(root, 'record.json'),
});

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-holds-'));
});
afterEach(() => rmSync(root, { recursive: true }));

type Facts = Pick<
  DeviceReport,
  'trustedVersion' | 'currentVersion' | 'deployment' | 'refused' | 'groups' | 'group'
>;
const reports = (facts: Facts | undefined): void => {
  if (facts !== undefined) writeFileSync(places().record, JSON.stringify({ report: facts }));
};

const facts = {
  nowSeconds: 0,
  clockTrusted: true,
  bootId: 'this',
  locks: [],
  approved: false,
  windowOpen: false,
};
const approval = whyWait({ when: 'approval' }, 12, facts) ?? '';
const waits = (why: string) => ({ version: 12, phase: 'wait', why }) as const;
const runs11 = { trustedVersion: 12, currentVersion: 11 };
const kitchen = { groups: [{ name: 'kitchen', trustedVersion: 4 }] };
const failed = { code: 'probation-failed', message: 'web ended' };

describe('[C276] the approval of a version', () => {
  it.each<[string, Facts | undefined, [number, string?], string]>([
    ['waits for one', { ...runs11, deployment: waits(approval) }, [12], '12 may be activated from now on'],
    ['waits for a lock', { ...runs11, deployment: waits('the lock a') }, [12], 'still waits: the lock a'],
    [
      'is fetched',
      { ...runs11, deployment: { version: 12, phase: 'fetch' } },
      [12],
      'once its images are ready',
    ],
    ['has not arrived', runs11, [13], '13 has not arrived; it .* when it does.*; no version waits now'],
    [
      'has not arrived while another waits',
      { ...runs11, deployment: waits(approval) },
      [121],
      '121 has not arrived; .*; version 12 waits now',
    ],
    ['may be known to no report yet', undefined, [12], 'wherryd has not reported yet'],
    ['is of a group', { ...runs11, ...kitchen }, [5, 'kitchen'], '5 of the group kitchen has not arrived'],
    [
      'has the number of one of another group, which is activated',
      { ...runs11, ...kitchen, deployment: { version: 5, phase: 'activate', group: 'floor' } },
      [5, 'kitchen'],
      '5 of the group kitchen has not arrived',
    ],
    [
      'has the number of one of the device itself, which runs',
      { trustedVersion: 12, currentVersion: 5, ...kitchen },
      [5, 'kitchen'],
      '5 of the group kitchen has not arrived',
    ],
    [
      'has the number of one of the device itself, which was refused',
      { ...runs11, ...kitchen, refused: { version: 5, code: 'expired', message: '', at: 1 } },
      [5, 'kitchen'],
      '5 of the group kitchen has not arrived',
    ],
  ])('is kept where that %s', async (_what, report, [version, group], says) => {
    reports(report);
    expect(await approve(places(), version, group)).toMatch(new RegExp(says));
    expect(existsSync(approvalPath(places(), version, group))).toBe(true);
  });

  it.each<[string, Facts, [number, string?], string]>([
    [
      'is activated',
      { ...runs11, deployment: { version: 12, phase: 'activate' } },
      [12],
      'its activation has begun',
    ],
    [
      'is on probation',
      { ...runs11, deployment: { version: 12, phase: 'probation' } },
      [12],
      'activation has begun',
    ],
    [
      'was committed',
      { ...runs11, deployment: { version: 12, phase: 'committed' } },
      [12],
      'it was committed',
    ],
    ['runs since long', runs11, [11], 'it was committed'],
    [
      'was rolled back',
      { ...runs11, deployment: { version: 12, phase: 'rolled-back', ...failed } },
      [12],
      'it was rolled-back \\(probation-failed\\)',
    ],
    [
      'was refused as a message',
      { ...runs11, refused: { version: 13, code: 'expired', message: '', at: 1 } },
      [13],
      'it was refused \\(expired\\)',
    ],
    [
      'is older',
      { ...runs11, deployment: waits(approval) },
      [10],
      '12 was accepted after it; version 12 waits now',
    ],
    ['is older than one of its group', { ...runs11, ...kitchen }, [3, 'kitchen'], '4 was accepted after it'],
    ['was passed over', { ...runs11, ...kitchen }, [4, 'kitchen'], 'another command has precedence'],
    ['is of another group', { ...runs11, ...kitchen }, [3, 'floor'], 'not in the group; its groups: kitchen'],
  ])('is refused where that %s', async (_what, report, [version, group], why) => {
    reports(report);
    await expect(approve(places(), version, group)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(new RegExp(`waits for no approval: .*${why}`)) as string,
    });
    expect(existsSync(approvalPath(places(), version, group))).toBe(false);
  });
});

describe('[C171] a lock', () => {
  it('is answered as it is read', async () => {
    const lock = { expires: 2000, keep: false, reason: 'a\n\u001b[2J' };
    expect(await addLock(places(), 'audit', lock)).toEqual(readLocks(places())[0]);
  });

  it('is removed whatever has its name', async () => {
    mkdirSync(join(root, 'run/locks/strange/file'), { recursive: true });
    await removeLock(places(), 'strange');
    expect(readLocks(places())).toEqual([]);
  });

  it('[C370] is refused with the reason where its directory is a file', async () => {
    mkdirSync(places().run);
    writeFileSync(join(root, 'run/locks'), '');
    writeFileSync(join(root, 'run/approvals'), '');
    const lock = { expires: 2000, keep: false, reason: 'audit' };
    const why = (name: string) => ({
      ...{ code: 'input-invalid', message: `${join(root, 'run', name)} is not a directory; remove it` },
    });
    await expect(addLock(places(), 'audit', lock)).rejects.toMatchObject(why('locks'));
    await expect(approve(places(), 12)).rejects.toMatchObject(why('approvals'));
    await removeLock(places(), 'locks');
    await addLock(places(), 'audit', lock);
    expect(readLocks(places())).toHaveLength(1);
  });

  it('has a reason that its file can hold', async () => {
    const lock = { expires: 2000, keep: false };
    for (const reason of ['', 'x'.repeat(201), 'x'.repeat(5000)]) {
      await expect(addLock(places(), 'audit', { ...lock, reason })).rejects.toMatchObject({
        code: 'input-invalid',
      });
    }
    expect(readLocks(places())).toEqual([]);
    mkdirSync(join(root, 'run'));
    await addLock(places(), 'audit', { ...lock, reason: '"\n'.repeat(100) });
    expect(readLocks(places())).toMatchObject([{ name: 'audit', expires: 2000 }]);
  });

  it('has a name that stays in its directory', async () => {
    const lock = { reason: 'audit', expires: 2000, keep: false };
    for (const name of ['../audit', 'a/b', '']) {
      await expect(addLock(places(), name, lock)).rejects.toMatchObject({ code: 'usage' });
    }
    expect(readdirSync(root)).toEqual([]);
  });
});
