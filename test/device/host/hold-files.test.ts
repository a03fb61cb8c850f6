import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { approvalPath, lockDirectories, readLocks } from '../../../src/device/host/index.ts';
import { holdOf } from '../../../src/device/agent/hold.ts';
import { desiredStateOf } from '../../support/desired.ts';

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
    const time = { nowSeconds: 1000, clockTrusted: true };
    const why = holdOf(places(), 'boot', () => time);
    const base = desiredStateOf({ version: 7 });
    const desired = { ...base, policy: { ...base.policy, activation: { when: 'approval' as const } } };
    expect(await why({ desired, attempts: 0 })).toMatch(/approval/);
    write(approvalPath(places(), 7), '');
    expect(await why({ desired, attempts: 0 })).toBeUndefined();
    write(join(lockDirectories(places()).boot, 'harvest'), '{"reason": "no", "expires": 1001}');
    expect(await why({ desired, attempts: 0 })).toMatch(/the lock harvest/);
    time.nowSeconds = 1001;
    expect(await why({ desired, attempts: 0 })).toBeUndefined();
  });
});
