import { describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { compilePod } from '../../../src/device/pod/compile.ts';
import { boardHost, demoImage, demoUuid, imageId } from './demo.ts';

const context = (type: string) => [
  { name: 'os/linux/selinux-context', value: { user: 'u', role: 'r', type, level: 's0' } },
];

/** The SELinux label of every process that crun starts, by its file, of a pod of two apps. */
function labelsOf(pod: object, own: object): Record<string, unknown> {
  const handlers = ['pre-start', 'post-stop'].map((name) => ({ name, exec: ['/bin/handler'] }));
  const app = { exec: ['/bin/app'], user: '0', group: '0', eventHandlers: handlers };
  const image = { id: imageId };
  const manifest = {
    ...{ acVersion: '0.8.11', acKind: 'PodManifest' },
    apps: [
      { name: 'web', image, app, annotations: [{ name: 'wherry/probe-exec', value: '["/bin/probe"]' }] },
      { name: 'own', image, app: { ...app, ...own } },
    ],
    ...pod,
  };
  const { files } = compilePod({
    ...{ name: 'demo-one', uuid: demoUuid, images: new Map([[imageId, demoImage]]) },
    manifest: parsePodManifest(Buffer.from(JSON.stringify(manifest))),
    host: { ...boardHost, judgeLabel: () => 'enforced' },
  });
  return Object.fromEntries(
    files
      .filter(({ path }) => path.endsWith('.json'))
      .map(({ path, content }) => {
        const config = JSON.parse(content) as { process?: { selinuxLabel?: string }; selinuxLabel?: string };
        return [path, (config.process ?? config).selinuxLabel];
      }),
  );
}

describe('the SELinux context', () => {
  const ofWeb = ['web', 'web.pre-start', 'web.post-stop'].map((bundle) => `apps/${bundle}/config.json`);
  const ofOwn = ['own', 'own.pre-start', 'own.post-stop'].map((bundle) => `apps/${bundle}/config.json`);
  const all = (files: readonly string[], label: unknown) =>
    Object.fromEntries(files.map((file) => [file, label]));

  it('of a pod is that of all its processes, and an app may override it [C329] [A14.10]', () => {
    expect(labelsOf({ isolators: context('pod_t') }, { isolators: context('own_t') })).toEqual({
      ...all([...ofWeb, 'apps/web.probe/process.json', 'holder/config.json'], 'u:r:pod_t:s0'),
      ...all(ofOwn, 'u:r:own_t:s0'),
    });
  });

  it('of an app is that of its own processes only', () => {
    expect(labelsOf({}, { isolators: context('own_t') })).toEqual({
      ...all([...ofWeb, 'apps/web.probe/process.json', 'holder/config.json'], undefined),
      ...all(ofOwn, 'u:r:own_t:s0'),
    });
  });
});
