import { describe, expect, it } from 'vitest';

import { parseImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { accountNote } from '../../../src/operator/build/missing-account.ts';

const image = {
  passwd: 'web:x:33:33::/:\n',
  group: 'www:x:34:\n',
  owners: new Map([['/srv/data', { uid: 7, gid: 8 }]]),
};

function note(user: string, group: string, more: object = {}): string | undefined {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'example.com/app',
    app: { exec: ['/app'], user, group },
    ...more,
  };
  return accountNote(parseImageManifest(Buffer.from(JSON.stringify(manifest))), image);
}

describe('a user or group that the image does not have', () => {
  it.each([
    ['nobody', '0', 'its user "nobody" is not in the image\'s passwd'],
    ['web', 'staff', 'its group "staff" is not in the image\'s group'],
    ['/srv/none', '0', 'its user "/srv/none" is not a file of the image'],
  ])('is noted: user %s, group %s', (user, group, expected) => {
    expect(note(user, group)).toBe(expected);
  });

  it.each([
    ['web', 'www'],
    ['12', '34'],
    ['root', 'root'],
    ['/srv/data', '/srv/data'],
  ])('is not noted: user %s, group %s', (user, group) => {
    expect(note(user, group)).toBeUndefined();
  });

  it('is not checked for an image with dependencies or without an app', () => {
    expect(note('nobody', '0', { dependencies: [{ imageName: 'example.com/base' }] })).toBeUndefined();
    expect(note('nobody', '0', { app: undefined })).toBeUndefined();
  });
});
