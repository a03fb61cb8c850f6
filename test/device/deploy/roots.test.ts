import { describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import { type DeployedPod, type Deployment, emptyState, rootsOf } from '../../../src/device/deploy/index.ts';
import { jobName } from '../../../src/device/jobs/index.ts';
import { podUuid } from '../../../src/wire/trust/index.ts';
import { desiredState } from '../../support/desired.ts';
import { deployedPod } from '../../support/world-model.ts';
import { imageIdOf, treeIdOf } from './ids.ts';

/** A pod whose app needs a secret with its name as the digest. */
function podOf(name: string): DeployedPod {
  const pod = deployedPod(name);
  return { ...pod, services: pod.services.map((service) => ({ ...service, secrets: [name] })) };
}

function deployment(version: number, name: string): Deployment {
  return { version, pods: [podOf(name)], imageIds: [imageIdOf(name)], treeIds: [treeIdOf(name)] };
}

describe('the roots of garbage collection', () => {
  const current = deployment(2, 'now');
  const previous = deployment(1, 'before');

  it('are the objects, pods and secrets of the current and the previous deployment', () => {
    const roots = rootsOf({ ...emptyState, current, previous }, []);
    expect([...roots.objectIds].sort()).toEqual(
      [imageIdOf('now'), imageIdOf('before'), treeIdOf('now'), treeIdOf('before')].sort(),
    );
    expect(roots.podUuids).toEqual([podOf('now').uuid, podOf('before').uuid]);
    expect(roots.secretDigests).toEqual(['now', 'before']);
    expect(roots.jobs).toEqual([]);
  });

  it('are also the images, downloads, trees, pods and secrets of the pending deployment', () => {
    const desired = { ...desiredState(3, 'next'), secrets: [{ name: 'db' as AcName, digest: 'next' }] };
    const tree = { name: 'example.com/web', sizeBytes: 1, sha256: '' };
    const trees = ['next', 'other'].map((word) => ({
      ...{ ...tree, id: treeIdOf(word) },
      imageIds: [imageIdOf(word)],
    }));
    const roots = rootsOf({ ...emptyState, trees, pending: { desired, attempts: 0 } }, []);
    expect(roots).toEqual({
      objectIds: new Set([imageIdOf('next'), treeIdOf('next')]),
      jobs: [jobName(imageIdOf('next'))],
      podUuids: [podUuid('web', new TextEncoder().encode('next'))],
      secretDigests: ['next'],
    });
  });

  it('are also the pods that run and their secrets: in a rollback they may belong to no deployment', () => {
    const roots = rootsOf({ ...emptyState, current }, [podOf('outgoing')]);
    expect(roots.podUuids).toEqual([podOf('now').uuid, podOf('outgoing').uuid]);
    expect(roots.secretDigests).toEqual(['now', 'outgoing']);
  });
});
