import { describe, expect, it } from 'vitest';
import { deviceNotes } from '../../../../src/cli/commands/operator/device-notes.ts';
import { parseImageManifest } from '../../../../src/image/appc/index.ts';

function notes(app: object, ...annotations: readonly (readonly [string, string])[]): readonly string[] {
  const document = {
    ...{ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/app' },
    app: { exec: ['/x'], user: '0', group: '0', ...app },
    annotations: annotations.map(([name, value]) => ({ name, value })),
  };
  return deviceNotes(parseImageManifest(Buffer.from(JSON.stringify(document))));
}
const at = (...paths: string[]) => ({
  mountPoints: paths.map((path, index) => ({ name: `m${index}`, path })),
});

describe('mount points that devices refuse [C264]', () => {
  it.each<[string[], string]>([
    [['/data', '/sys/fs/cgroup'], '/sys/fs/cgroup belongs to the runtime'],
    [['//dev/./shm/'], '/dev/shm belongs to the runtime'],
    [['/srv/a', '/srv/'], 'the mounts at /srv and /srv/a overlap'],
    [['/srv', '/srv'], 'the mounts at /srv and /srv overlap'],
    [['/'], '/ is not a place for a mount'],
  ])('are noted: %j', (paths, problem) => {
    expect(notes(at(...paths))).toEqual([`devices refuse its mount points: ${problem}`]);
  });

  it('are not noted if each has its own place', () => {
    expect(notes(at('/data', '/data-2', '/system', '/srv/data'))).toEqual([]);
  });
});

describe('annotations that devices refuse [C264]', () => {
  it.each([
    [
      'wherry/probe-http',
      'localhost:8080',
      /devices refuse an app of it: annotation wherry\/probe-http: expected/,
    ],
    ['wherry/restart', 'unless-stopped', /expected "no", "on-failure" or "always"/],
    ['wherry/stop-timeout', '10s', /annotation wherry\/stop-timeout/],
  ])('are noted: %s=%s', (name, value, words) => {
    expect(notes({}, [name, value])).toEqual([expect.stringMatching(words)]);
  });

  it('are not noted if they are valid, or not of wherry', () => {
    expect(notes({}, ['wherry/restart', 'no'], ['example.com/restart', 'unless-stopped'])).toEqual([]);
  });
});
