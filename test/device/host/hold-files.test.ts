import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { approvalPath, lockDirectories, readLocks } from '../../../src/device/host/index.ts';
import { holdOf } from '../../../src/device/agent/hold.ts';
import { desiredStateOf } from '../../support/desired.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let root: string;
const places = (): { run: string; state: string } => ({ run: join(root, 'run'), state: join(root, 'state') });
const write = (path: string, text: string): void => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-locks-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('locks [C171]', () => {
  it('are files of two directories, unreadable ones included', () => {
    expect(readLocks(places())).toEqual([]);
    const { boot, kept } = lockDirectories(places());
    write(join(boot, 'harvest'), '{"reason": "the harvester\\u001b[2J runs", "expires": 2000}');
    write(join(boot, 'broken'), 'x');
    write(join(boot, '.hidden'), '{}');
    write(join(kept, 'audit'), '{"reason": "audit", "expires": "tomorrow"}');
    expect(readLocks(places()).map(({ name, reason, expires }) => [name, reason, expires])).toEqual([
      ['broken', 'its file cannot be read; remove it with "wherry lock rm"', undefined],
      ['harvest', 'the harvester?[2J runs', 2000],
      ['audit', 'its file cannot be read; remove it with "wherry lock rm"', undefined],
    ]);
  });

  it('hold if the name is not that of a text file, and nothing blocks on it', () => {
    const { boot } = lockDirectories(places());
    mkdirSync(join(boot, 'directory'), { recursive: true });
    execFileSync('mkfifo', [join(boot, 'pipe')]);
    symlinkSync('/dev/zero', join(boot, 'zero'));
    symlinkSync('nothing', join(boot, 'link'));
    expect(readLocks(places()).map(({ name, expires }) => [name, expires])).toEqual([
      ['directory', undefined],
      ['link', undefined],
      ['pipe', undefined],
      ['zero', undefined],
    ]);
  });

  it('hold where a file has taken the place of their directory [C370]', () => {
    const { boot } = lockDirectories(places());
    write(boot, '');
    expect(readLocks(places())).toEqual([
      { name: 'locks', path: boot, reason: 'its file cannot be read; remove it with "wherry lock rm"' },
    ]);
  });

  it('hold beside any number of others, expired ones too [C339]', () => {
    const { boot, kept } = lockDirectories(places());
    for (let at = 0; at < 70; at++) write(join(boot, `old-${at}`), '{"reason": "old", "expires": 5}');
    write(join(kept, 'zz'), '{"reason": "new", "expires": 2000}');
    const locks = readLocks(places());
    expect(locks).toHaveLength(71);
    const last = locks.at(-1);
    expect(last).toMatchObject({ name: 'zz', reason: expect.stringContaining('more than 64') as string });
    expect(last?.expires).toBeUndefined();
  });

  it('have a reason that is cut between whole characters', () => {
    write(
      join(lockDirectories(places()).boot, 'long'),
      JSON.stringify({ reason: 'a🌾'.repeat(90), expires: 2000 }),
    );
    const [lock] = readLocks(places());
    expect(lock?.reason).toHaveLength(200);
    expect(lock?.reason.at(-1)).toBe('?');
  });

  it('and approvals are read each time', async () => {
    const time = () => Promise.resolve({ nowSeconds: 1000, clockTrusted: true });
    const clock = new FakeClock(1_000_000);
    const why = holdOf(places(), 'boot', time, clock);
    const base = desiredStateOf({ version: 7 });
    const desired = { ...base, policy: { ...base.policy, activation: { when: 'approval' as const } } };
    expect(await why({ desired, attempts: 0 })).toMatch(/approval/);
    write(approvalPath(places(), 7), '');
    expect(await why({ desired, attempts: 0 })).toBeUndefined();
    write(join(lockDirectories(places()).boot, 'harvest'), '{"reason": "no", "expires": 1001}');
    utimesSync(join(lockDirectories(places()).boot, 'harvest'), 1000, 1000);
    expect(await why({ desired, attempts: 0 })).toMatch(/the lock harvest/);
    await clock.pass(1000);
    expect(await why({ desired, attempts: 0 })).toBeUndefined();
  });
});

describe('a lock on a device whose clock is set [C306]', () => {
  const hour = 3600;
  const year = 365 * 24 * hour;
  const now = 1_800_000_000;

  /** A device on which a lock for an hour is written at `atSeconds`. */
  function locked(atSeconds: number) {
    const clock = new FakeClock(atSeconds * 1000);
    const lock = join(lockDirectories(places()).boot, 'harvest');
    const takeLock = () => {
      const seconds = clock.nowMs() / 1000;
      write(lock, JSON.stringify({ reason: 'no', expires: seconds + hour }));
      utimesSync(lock, seconds, seconds);
    };
    takeLock();
    // As on a device: not before the newest command that it trusts.
    const time = () =>
      Promise.resolve({ nowSeconds: Math.max(now, clock.nowMs() / 1000), clockTrusted: false });
    const why = holdOf(places(), 'boot', time, clock);
    const holds = async () =>
      (await why({ desired: desiredStateOf({ version: 7 }), attempts: 0 })) !== undefined;
    const setTo = (seconds: number) => clock.jump(seconds * 1000 - clock.nowMs());
    return { clock, takeLock, why, holds, setTo };
  }

  it('holds where the clock is in 1970', async () => {
    const { clock, holds } = locked(100);
    expect(await holds()).toBe(true);
    await clock.pass(hour * 1000 - 1);
    expect(await holds()).toBe(true);
    await clock.pass(1);
    expect(await holds()).toBe(false);
  });

  it.each([
    ['from 1970 to now', 100, now],
    ['ten years ahead', now, now + 10 * year],
    ['back by a day', now, now - 24 * hour],
    ['back by ten years', now + 10 * year, now],
  ])('lasts for its time once it was seen: the clock is set %s', async (_name, before, after) => {
    const { clock, holds, setTo } = locked(before);
    expect(await holds()).toBe(true);
    await clock.pass(hour * 500);
    setTo(after);
    expect(await holds()).toBe(true);
    await clock.pass(hour * 500 - 1);
    expect(await holds()).toBe(true);
    await clock.pass(1);
    expect(await holds()).toBe(false);
  });

  it('ends an hour after it was seen, if it was written by a clock that was ahead', async () => {
    const { clock, why, holds, setTo } = locked(now + 10 * year);
    setTo(now);
    expect(await why({ desired: desiredStateOf({ version: 7 }), attempts: 0 })).toBe(
      'the lock harvest holds it until 2027-01-15T09:00:00.000Z: no',
    );
    await clock.pass(hour * 1000);
    expect(await holds()).toBe(false);
  });

  it('ends when it has expired, if a kept one was first seen by a clock that was behind', async () => {
    const { clock, holds, setTo } = locked(now);
    setTo(100);
    expect(await holds()).toBe(true);
    setTo(now + hour - 10);
    expect(await holds()).toBe(true);
    await clock.pass(10_000);
    expect(await holds()).toBe(false);
  });

  it('lasts longer when it is written again', async () => {
    const { clock, takeLock, holds } = locked(now);
    expect(await holds()).toBe(true);
    await clock.pass(hour * 500);
    takeLock();
    expect(await holds()).toBe(true);
    await clock.pass(hour * 1000 - 1);
    expect(await holds()).toBe(true);
    await clock.pass(1);
    expect(await holds()).toBe(false);
  });
});
