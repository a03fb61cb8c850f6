import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

it('a secret that cannot be sealed is logged with the reason, not with a warning before it', () => {
  const root = mkdtempSync(join(tmpdir(), 'seal-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const name of ['values', 'sealed', 'bin']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'values/0a-db'), 'value');
  const creds =
    '#!/bin/sh\necho "the key is on an unencrypted disk" >&2; echo "the disk is full" >&2; exit 1\n';
  writeFileSync(join(root, 'bin/systemd-creds'), creds, { mode: 0o755 });
  const script = join(import.meta.dirname, '../../cross/debian/seal-secrets');
  const { status, stderr } = spawnSync('sh', [script, join(root, 'values'), join(root, 'sealed')], {
    env: { PATH: `${join(root, 'bin')}:${process.env['PATH'] ?? ''}` },
    encoding: 'utf8',
  });
  expect(stderr).toBe('<3>the secret db cannot be sealed: the disk is full\n');
  expect(status).toBe(1);
});
