import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyState } from '../../../src/device/deploy/index.ts';
import { nodeDisk } from '../../../src/device/store/index.ts';
import { DeviceWorld, type DeviceWorldPorts } from '../../../src/device/world/device-world.ts';
import { PodFiles } from '../../../src/device/world/pod-files.ts';
import { deployedPod } from '../../support/world-model.ts';
import type { DesiredState } from '../../../src/wire/trust/index.ts';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'device-'))));
afterEach(() => rmSync(root, { recursive: true }));

describe('the start of wherryd', () => {
  it('goes on if the disk has lost the files of a pod, and logs it once [C292] [C310]', async () => {
    const at = (name: string): string => join(root, name);
    const places = { pods: at('pods'), volumes: at('volumes'), metadata: at('metadata') };
    mkdirSync(at('units'));
    const pods = [deployedPod('lost'), deployedPod('odd')];
    const log: string[] = [];
    const world = new DeviceWorld({
      files: new PodFiles(nodeDisk(), {
        ...places,
        metadataKey: at('metadata-key'),
        units: at('units'),
        unitStates: at('states'),
        mounts: at('mounts'),
      }),
      journal: { log: (level: string, message: string) => void log.push(`${level} ${message}`) },
      directories: places,
      watch: { follow: () => undefined },
    } as unknown as DeviceWorldPorts);
    const state = { ...emptyState, current: { version: 1, pods, imageIds: [] } };
    await world.reconcile(state);
    expect(world.pods).toEqual(pods);
    expect(log.splice(0)).toEqual([
      expect.stringMatching(/^error pods may not start at boot: .*: no such file or directory$/),
    ]);
    const pending = { desired: { images: [] as DesiredState['images'] } as DesiredState, attempts: 0 };
    await world.check({ ...state, pending });
    expect(log).toEqual([]); // the deployment is writing them
    await world.check(state);
    await world.check(state);
    expect(log).toEqual(
      ['lost', 'odd'].map(
        (name) =>
          expect.stringMatching(
            new RegExp(`^error pod ${name}: .*/sha256sums is missing or damaged; .*; check the disk$`),
          ) as string,
      ),
    );
  });
});

it('the report of a network that failed is gone with its pod, however often systemd repeats it [C344]', async () => {
  const at = (name: string): string => join(root, name);
  for (const name of ['attachments', 'images', 'units']) mkdirSync(at(name));
  const pods = [deployedPod('failed', ['network'])];
  const uuid = pods[0]?.uuid ?? '';
  const report = (): void => writeFileSync(at(`attachments/${uuid}.failure`), 'pod-network-failed no\n');
  const world = new DeviceWorld({
    files: new PodFiles(nodeDisk(), {
      ...{ pods: at('pods'), volumes: at('volumes'), metadata: at('metadata') },
      ...{ metadataKey: at('metadata-key'), units: at('units'), unitStates: at('states') },
      mounts: at('images'),
    }),
    directories: {},
    watch: { follow: () => undefined },
    systemd: {
      resetFailed: () => Promise.resolve(),
      // It waits for an attachment that is under way, which fails once more.
      stop: () => {
        report();
        return Promise.resolve();
      },
      list: () => Promise.resolve([]),
    },
  } as unknown as DeviceWorldPorts);
  report();
  await world.forget(pods);
  expect(readdirSync(at('attachments'))).toEqual([]);
});
