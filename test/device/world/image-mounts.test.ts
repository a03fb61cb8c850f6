import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageIdOf } from '../deploy/ids.ts';
import { nodeDisk } from '../../../src/device/store/index.ts';
import type { JobResult, Systemd } from '../../../src/device/systemd/index.ts';
import { ImageMounts } from '../../../src/device/world/image-mounts.ts';
import { PodFiles } from '../../../src/device/world/pod-files.ts';
import { deployedPod } from '../../support/world-model.ts';

const status = (name: string, activeState: string) => ({
  name,
  activeState,
  subState: '',
});

/** A systemd that has these units loaded and carries out requests at once. */
class LoadedSystemd implements Partial<Systemd> {
  readonly log: string[] = [];
  readonly states: Map<string, string>;
  /** Units that an already loaded target wants. */
  readonly wanted = new Set<string>();

  constructor(states: Readonly<Record<string, string>>) {
    this.states = new Map(Object.entries(states));
  }

  list = () => Promise.resolve([...this.states].map(([name, state]) => status(name, state)));
  stop = (unit: string): Promise<JobResult> => {
    this.log.push(`stop ${unit}`);
    if (this.wanted.has(unit)) this.states.set(unit, 'inactive');
    else if (this.states.get(unit) !== 'failed') this.states.delete(unit);
    return Promise.resolve('done');
  };
  disable = (units: readonly string[]): Promise<void> => {
    this.log.push(`disable ${units.join(' ')}`);
    return Promise.resolve();
  };
  forgetRuns = (timer: string): Promise<void> => {
    this.log.push(`forget runs of ${timer}`);
    return Promise.resolve();
  };
  reload = (): Promise<void> => {
    this.log.push('reload');
    for (const [unit, state] of this.states) if (state === 'inactive') this.states.delete(unit);
    return Promise.resolve();
  };
  resetFailed = (unit: string): Promise<void> => {
    if (this.states.get(unit) === 'failed') this.states.delete(unit);
    return Promise.resolve();
  };
}

describe('units that no pod needs', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'image-mounts-'));
    mkdirSync(join(root, 'units'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const places = () => {
    const disk = { ...nodeDisk(), own: () => Promise.resolve() };
    const directories = {
      images: join(root, 'images'),
      pods: join(root, 'pods'),
      volumes: join(root, 'volumes'),
      run: join(root, 'run'),
    };
    const files = new PodFiles(disk, {
      pods: directories.pods,
      volumes: directories.volumes,
      units: join(root, 'units'),
      unitStates: join(root, 'states'),
      mounts: join(root, 'mounts'),
      metadata: join(root, 'metadata'),
      metadataKey: join(root, 'metadata-key'),
    });
    return { files, directories };
  };

  it('are removed even if their files are gone, apps first', async () => {
    const [mine, old] = ['wherry-pod-web.0123abcd', 'wherry-pod-web.4567ef01'];
    const pod = {
      ...deployedPod('web'),
      slice: `${mine}.slice`,
      services: [{ app: 'main', unit: `${mine}-main.service`, imageId: imageIdOf('main') }],
      mounts: ['run-wherry-images-0.mount'],
    };
    const loaded = new LoadedSystemd({
      'run-wherry-images-0.mount': 'active',
      'run-wherry-images-1.mount': 'active',
      [`${mine}.slice`]: 'active',
      [`${mine}-main.service`]: 'active',
      [`${old}.slice`]: 'active',
      'wherry-holder-web.4567ef01.service': 'active',
      [`${old}-main.service`]: 'failed',
      'wherry-run-web.4567ef01.target': 'active',
      'wherry-timer-web.4567ef01.timer': 'active',
      'wherry-pod-backup.service': 'failed',
    });
    const { files, directories } = places();
    await files.writeUnit('run-wherry-images-1.mount', '[Mount]\n');
    const systemd = loaded as Partial<Systemd> as Systemd;
    await new ImageMounts({ systemd, files, directories }).removeStrays([pod]);
    expect(loaded.log).toEqual([
      `disable wherry-holder-web.4567ef01.service ${old}-main.service`,
      // The timer first: it would start the app again.
      'stop wherry-timer-web.4567ef01.timer',
      'forget runs of wherry-timer-web.4567ef01.timer',
      `stop ${old}-main.service`,
      'stop wherry-run-web.4567ef01.target',
      'stop wherry-holder-web.4567ef01.service',
      `stop ${old}.slice`,
      'stop run-wherry-images-1.mount',
    ]);
    expect([...loaded.states.keys()]).toEqual([
      'run-wherry-images-0.mount',
      `${mine}.slice`,
      `${mine}-main.service`,
      'wherry-pod-backup.service',
    ]);
    expect(readdirSync(join(root, 'units'))).toEqual([]);
  });

  it.each([
    ['wants one of them', ['wherry-pod-web.4567ef01-main.service'], ['reload']],
    ['wants none of them', [], []],
  ])('are unloaded by a reload where the target in memory %s', async (_what, wanted, reloads) => {
    const loaded = new LoadedSystemd({
      'wherry-pod-web.4567ef01-main.service': 'active',
      'wherry-pod-backup.service': 'inactive',
    });
    for (const unit of wanted) loaded.wanted.add(unit);
    await new ImageMounts({ systemd: loaded as Partial<Systemd> as Systemd, ...places() }).removeStrays([]);
    const stopped = [
      'disable wherry-pod-web.4567ef01-main.service',
      'stop wherry-pod-web.4567ef01-main.service',
    ];
    expect(loaded.log).toEqual([...stopped, ...reloads]);
    expect(loaded.states.has('wherry-pod-web.4567ef01-main.service')).toBe(false);
  });

  it('are unloaded if an interruption left them stopped and without their files', async () => {
    const loaded = new LoadedSystemd({ 'wherry-holder-web.4567ef01.service': 'inactive' });
    await new ImageMounts({ systemd: loaded as Partial<Systemd> as Systemd, ...places() }).removeStrays([]);
    expect(loaded.log).toEqual(['reload']);
  });
});
