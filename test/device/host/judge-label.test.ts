import { describe, expect, it } from 'vitest';
import { judgeContext, judgeProfile, type SelinuxKernel } from '../../../src/device/host/judge-label.ts';

describe('an AppArmor profile', () => {
  const list = 'mine (enforce)\n/usr/bin/my tool (complain)\ncrun (unconfined)\nlast//child (kill)\n';

  it.each([
    ['mine', 'enforced'],
    ['last//child', 'enforced'],
    ['/usr/bin/my tool', 'permissive'],
    ['crun', 'permissive'],
    ['unconfined', 'unknown'],
    ['min', 'unknown'],
    ['mine (enforce)', 'unknown'],
    ['', 'unknown'],
  ])('%j is %s [C330]', (profile, verdict) => {
    expect(judgeProfile(profile, list)).toBe(verdict);
  });

  it('is absent on a kernel without AppArmor', () => {
    expect(judgeProfile('mine', undefined)).toBe('absent');
    expect(judgeProfile('mine', '')).toBe('unknown');
  });
});

describe('an SELinux context', () => {
  /** The answers of Linux 6.12 with a small policy, in which loose_t is a permissive type. */
  const answers: Record<string, string> = {
    'u:r:app_t:s0 u:r:app_t:s0 1': '3 ffffffff 0 ffffffff 1 0',
    'u:r:loose_t:s0 u:r:loose_t:s0 1': '0 ffffffff 0 ffffffff 1 1',
  };
  const fault = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };
  const kernel: SelinuxKernel = {
    ...{ enforce: '1', own: 'u:r:base_t:s0\0' },
    access: (query) => answers[query] ?? fault('EINVAL')(),
  };

  it.each<[string, string, Partial<SelinuxKernel>, string]>([
    ['of the policy', 'u:r:app_t:s0', {}, 'enforced'],
    ['of a permissive type', 'u:r:loose_t:s0', {}, 'permissive'],
    ['of a kernel that does not enforce', 'u:r:app_t:s0', { enforce: '0' }, 'permissive'],
    ['that the policy does not have', 'u:r:nope_t:s0', {}, 'unknown'],
    ['that is too long for the kernel', 'u:r:app_t:s0', { access: fault('EFBIG') }, 'unknown'],
    ['that the policy does not let query', 'u:r:app_t:s0', { access: fault('EACCES') }, 'unchecked'],
    ['before a policy is loaded', 'u:r:app_t:s0', { own: 'kernel\0' }, 'absent'],
    ['of a kernel without SELinux', 'u:r:app_t:s0', { enforce: undefined, own: 'unconfined\n' }, 'absent'],
  ])('%s [C329]', (_what, context, differs, verdict) => {
    expect(judgeContext(context, { ...kernel, ...differs })).toBe(verdict);
  });
});
