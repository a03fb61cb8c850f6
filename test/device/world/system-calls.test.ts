import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { systemCalls } from '../../../src/device/world/system-calls.ts';
import { removeFilter, retainFilter } from '../../../src/device/pod/seccomp.ts';

describe('the system calls that are known [C285]', () => {
  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)(
    'include those of the filters for ARM, and no misspelt one',
    async () => {
      const known = (await systemCalls()) ?? new Set();
      for (const name of ['mkdirat', 'openat2', 'set_tls', 'umount']) expect(known, name).toContain(name);
      for (const name of ['mkdirr', '@known', '', 'All']) expect(known, name).not.toContain(name);
      const filters = [
        removeFilter('arm64', [], { calls: ['mkdir'] }),
        retainFilter('arm64', { calls: ['mkdir'] }),
      ];
      const names = filters.flatMap(({ filter }) => filter?.syscalls.flatMap((rule) => rule.names) ?? []);
      // The kernel's own name of a call that libseccomp names set_tls.
      expect(names.filter((name) => !known.has(name))).toEqual(['arm_set_tls']);
    },
  );

  it('are not judged where there is no systemd', async () => {
    expect(await systemCalls('/nowhere/systemd-analyze')).toBeUndefined();
  });
});
