// Labels as in docs/appc-checklist.md. The first table contains facts from github.com/rkt/rkt at
// 171c416, tests/rkt_run_user_group_test.go and tests/functional.mk (Apache-2.0, Copyright 2016 The
// rkt Authors): the account in image and command line, and the one that runs.
import { describe, expect, it } from 'vitest';
import { resolveAccount } from '../../../src/image/appc/account.ts';

const image = {
  passwd: 'user1:x:1000:100::/:',
  group: 'group1:x:100:user1',
  owners: new Map([['/inspect', { uid: 0, gid: 0 }]]),
};

function resolve(user: string, group: string, of = image): string {
  const { uid, gid } = resolveAccount('app web:', { user, group, supplementaryGids: [] }, of);
  return `${uid}:${gid}`;
}

describe('[A3.9] the user and group of an app (aci.md#image-manifest-schema)', () => {
  it.each([
    ['specification', '0', '0', '0:0'],
    ['specification', '200', '0', '200:0'],
    ['specification', '0', '300', '0:300'],
    ['specification', '200', '300', '200:300'],
    ['specification', 'user1', '300', '1000:300'],
    ['specification', '200', 'group1', '200:100'],
    ['specification', '400', '500', '400:500'],
    ['specification', '200', '500', '200:500'],
    ['specification', '400', '300', '400:300'],
    ['specification', '200', '300', '200:300'],
    ['specification', 'user1', 'group1', '1000:100'],
    // The files of the image have no root (docs/decisions/appc-differences.md, 34). The reference
    // has this vector for the image and for the command line.
    ['reference-only', 'root', 'root', '0:0'],
    ['specification', '/inspect', '/inspect', '0:0'],
  ])('%s: user %j and group %j are %s', (_label, user, group, account) => {
    expect(resolve(user, group)).toBe(account);
  });

  it("specification: the image's own files decide first, also for root and numbers", () => {
    const files = {
      ...image,
      passwd: 'root:x:7:7::/:\n4321:x:99:99::/:\n',
      group: 'root:x:8:\n4321:x:98:\n',
    };
    expect(resolve('root', 'root', files)).toBe('7:8');
    expect(resolve('4321', '4321', files)).toBe('99:98');
  });

  it('ours: the group of a passwd line has no effect, and the name of a user is not a group', () => {
    expect(resolve('user1', '0')).toBe('1000:0');
    expect(() => resolve('0', 'user1')).toThrow('app web: group "user1" is not in the image\'s group');
  });

  it.each([
    ['an unknown name', 'nobody', /user "nobody" is not in the image's passwd/],
    ['a path without a file in the image', '/etc/shadow', /user "\/etc\/shadow" is not a file of the image/],
    ['the number that means "no change" to the kernel', '4294967295', /is above 4294967294/],
    ['a number past 32 bits', '9999999999', /is above 4294967294/],
    ['a negative number', '-1', /is not in the image's passwd/],
    ['a hexadecimal number', '0x0', /is not in the image's passwd/],
    ['Root, which is not root', 'Root', /is not in the image's passwd/],
  ])('ours: refuses %s', (_what, user, problem) => {
    const refused = expect.objectContaining({ code: 'pod-user-unknown' }) as Error;
    expect(() => resolve(user, '0')).toThrow(refused);
    expect(() => resolve(user, '0')).toThrow(problem);
  });
});
